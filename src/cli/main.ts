#!/usr/bin/env node
/**
 * The `inbox` executable. Exit codes: 0 done, 1 failed, 2 wrong usage.
 *
 * @module
 */
import { runCommandLine } from './run.ts';
import { guardOutput } from './shared/stdio.ts';

guardOutput();
process.exitCode = await runCommandLine();
