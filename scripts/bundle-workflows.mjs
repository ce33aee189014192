/** The end of a build, after the compiler: see src/temporal/workflow-bundle.ts. */
import { buildWorkflowBundle } from '../dist/src/temporal/workflow-bundle.js';

await buildWorkflowBundle();
