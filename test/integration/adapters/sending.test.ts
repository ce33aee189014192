/** Sending in the transactions of the libraries that `temporal-inbox/adapters` supports. Prisma has a file of its own. */
import { LIBRARIES } from '../../support/orm/libraries.ts';
import { describeSending } from '../../support/orm/sending-suite.ts';

for (const [name, row] of Object.entries(LIBRARIES)) describeSending(name, row);
