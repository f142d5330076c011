import { AdmissionState } from '@galley/proto';
import { ApiError } from './errors.ts';

/** `undefined`: the request does not say. */
export function enabledOf(state: AdmissionState): boolean | undefined {
  if (state === AdmissionState.UNSPECIFIED) return undefined;
  return state === AdmissionState.ENABLED;
}

export function admissionOf(enabled: boolean): AdmissionState {
  return enabled ? AdmissionState.ENABLED : AdmissionState.DISABLED;
}

/** A resource that is not there, in words that name what was asked for. */
export function missing(kind: string, name: string): ApiError {
  const description = `${kind} "${name}" does not exist`;
  return new ApiError('NOT_FOUND', description, { violations: [{ field: 'name', description }] });
}
