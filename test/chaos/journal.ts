/**
 * The record that the checker compares the system with, kept outside of it: every send and the answer that its sender got.
 *
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import type { Pool } from 'pg';
import type { Json } from '../../src/core/json.ts';

/** `unknown`: the connection or the process died before the answer arrived, so both outcomes are correct. */
export type Answer = 'ok' | 'refused' | 'unknown';

export interface JournalLine {
  messageId: string;
  commandType: string;
  payload: Json;
  answer: Answer;
}

export interface Contradiction {
  messageId: string;
  problem: string;
}

export class Journal {
  readonly #lines = new Map<string, JournalLine>();
  readonly #contradictions: Contradiction[] = [];

  /** A message that was accepted once counts as accepted, whatever the answers to its repeats are. */
  add(line: JournalLine): void {
    const known = this.#lines.get(line.messageId);
    if (known?.answer === 'ok' && line.answer === 'ok' && !isSameMessage(known, line)) {
      this.addContradiction({ messageId: line.messageId, problem: 'two different messages were accepted' });
    }
    if (!known || rank(line.answer) > rank(known.answer)) this.#lines.set(line.messageId, line);
  }

  /** Records an answer that cannot be correct. */
  addContradiction(contradiction: Contradiction): void {
    this.#contradictions.push(contradiction);
  }

  get contradictions(): readonly Contradiction[] {
    return this.#contradictions;
  }

  get lines(): JournalLine[] {
    return [...this.#lines.values()];
  }

  /** Writes the journal to a table that the checker's queries can join. */
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

function isSameMessage(one: JournalLine, other: JournalLine): boolean {
  return one.commandType === other.commandType && isDeepStrictEqual(one.payload, other.payload);
}

function rank(answer: Answer): number {
  return { refused: 0, unknown: 1, ok: 2 }[answer];
}
