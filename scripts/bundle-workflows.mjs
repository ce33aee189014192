/** The last step of a build, after the compiler. See src/temporal/workflow-bundle.ts. */
import { buildWorkflowBundle } from '../dist/src/temporal/workflow-bundle.js';

await buildWorkflowBundle();
