import { destination, type Logger, pino } from 'pino';

/** Lines for people on a terminal, JSON for collectors. */
export function defaultLog(): Logger {
  const level = process.env['GALLEY_LOG_LEVEL'] ?? 'info';
  if (!process.stderr.isTTY) return pino({ name: 'galley-agent', level }, destination(2));
  return pino({ level }, humanLines());
}

/** One line a message: time, level if it matters, text. */
function humanLines() {
  return {
    write(line: string): void {
      const { level, time, msg, err } = JSON.parse(line) as {
        level: number;
        time: number;
        msg?: string;
        err?: { message?: string };
      };
      const mark = level >= 50 ? 'error: ' : level >= 40 ? 'warning: ' : '';
      const cause = err?.message === undefined ? '' : `: ${err.message}`;
      process.stderr.write(`${new Date(time).toISOString().slice(11, 19)} agent  ${mark}${msg ?? ''}${cause}\n`);
    },
  };
}
