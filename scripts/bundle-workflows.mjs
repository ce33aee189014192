/** The end of a build, after the compiler: see src/workflow-bundle.ts. */
import { buildWorkflowBundle } from '../dist/src/workflow-bundle.js';

await buildWorkflowBundle();
