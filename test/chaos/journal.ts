/**
 * The truth to compare with, kept outside of the system: every send and what its sender was told.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Json } from '../../src/json.ts';

/** unknown: the connection or the process died before an answer came; both outcomes are right. */
export type Answer = 'ok' | 'refused' | 'unknown';

export interface JournalLine {
  messageId: string;
  commandType: string;
  payload: Json;
  answer: Answer;
}

export class Journal {
  readonly #lines = new Map<string, JournalLine>();

  /** A message that was accepted once is accepted, however its repeats were answered. */
  add(line: JournalLine): void {
    const known = this.#lines.get(line.messageId);
    if (!known || rank(line.answer) > rank(known.answer)) this.#lines.set(line.messageId, line);
  }

  get lines(): JournalLine[] {
    return [...this.#lines.values()];
  }

  /** Writes it where the checker's queries can join it. */
  async store(pool: Pool): Promise<void> {
    await pool.query(
      `drop table if exists journal;
       create table journal (message_id text collate "C" primary key, command_type text, payload jsonb, answer text)`,
    );
    await pool.query(
      `insert into journal
       select line ->> 'messageId', line ->> 'commandType', line -> 'payload', line ->> 'answer'
       from jsonb_array_elements($1::jsonb) as lines (line)`,
      [JSON.stringify(this.lines)],
    );
  }
}

function rank(answer: Answer): number {
  return { refused: 0, unknown: 1, ok: 2 }[answer];
}
