/**
 * The code blocks of a page of the documentation.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import { packageFile } from '../../src/platform/package-files.ts';

export interface Block {
  language: string;
  /** The file that the block is the content of. */
  file: string | undefined;
  text: string;
}

export async function readBlocks(path: string): Promise<Block[]> {
  const page = await readFile(packageFile(path), 'utf8');
  return [...page.matchAll(/^```(\w+)(?: \[(.+)\])?\n([\s\S]*?)^```$/gm)].map(([, language, file, text]) => ({
    language: language!,
    file,
    text: text!,
  }));
}
