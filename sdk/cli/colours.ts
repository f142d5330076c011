import { styleText } from 'node:util';

export type Colour = 'red' | 'green' | 'yellow' | 'blue' | 'cyan' | 'gray' | 'bold';

/** Colours a text, or leaves it as it is. */
export type Colours = (colour: Colour | undefined, text: string) => string;

export function createColours(enabled: boolean): Colours {
  return (colour, text) =>
    enabled && colour !== undefined && text !== '' ? styleText(colour, text, { validateStream: false }) : text;
}

const STATE_COLOURS: Readonly<Record<string, Colour>> = {
  SUBMITTED: 'gray',
  PENDING: 'gray',
  RUNNABLE: 'yellow',
  STARTING: 'cyan',
  RUNNING: 'cyan',
  SUCCEEDED: 'green',
  FAILED: 'red',
  READY: 'green',
  JOINED: 'gray',
  SILENT: 'yellow',
  LOST: 'red',
  DRAINING: 'yellow',
  DRAINED: 'yellow',
  OFF: 'gray',
  ENABLED: 'green',
  DISABLED: 'yellow',
};

/** The colour of a state of a job, node, queue or environment. */
export function stateColour(state: string): Colour | undefined {
  return STATE_COLOURS[state];
}
