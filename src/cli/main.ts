#!/usr/bin/env node
/**
 * `inbox`: one file a command, no logic of its own. Exit 0 done, 1 failed, 2 wrong usage.
 *
 * @module
 */
import { runCommandLine } from './run.ts';
import { guardOutput } from './shared/stdio.ts';

guardOutput();
process.exitCode = await runCommandLine();
