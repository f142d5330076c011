import { createHash, timingSafeEqual } from 'node:crypto';

/** What a caller may do. `admin`: everything. */
export type Role = 'admin';

/** Who calls. */
export interface Identity {
  /** Whose credentials these are: becomes `submitted_by`. */
  readonly principal: string;
  readonly role: Role;
}

/** What a call brings along to say who it is. */
export interface Credentials {
  /** The `authorization` header, if any. */
  readonly authorization: string | undefined;
}

/** Tells who calls. One for each way to prove it; a listener asks exactly one. */
export interface Authenticator {
  /** Undefined: nobody that we know. */
  authenticate(credentials: Credentials): Identity | undefined;
}

const BEARER = /^Bearer +(\S+)$/i;

/** One token that may do everything. */
export class TokenAuthenticator implements Authenticator {
  readonly #digest: Buffer;
  readonly #identity: Identity;

  constructor(token: string, identity: Identity = { principal: 'admin', role: 'admin' }) {
    this.#digest = sha256(token);
    this.#identity = identity;
  }

  authenticate({ authorization }: Credentials): Identity | undefined {
    const token = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
    if (token === undefined) return undefined;
    // Digests have one length, so that the comparison takes the same time whatever was sent.
    return timingSafeEqual(sha256(token), this.#digest) ? this.#identity : undefined;
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
