/**
 * The examples at the end of each `--help`.
 *
 * @module
 */
export const EXAMPLES: Record<string, readonly string[]> = {
  '': [
    'inbox dev commands.mjs              # try it out, with servers of its own',
    'inbox setup                         # prepare DATABASE_URL and TEMPORAL_ADDRESS',
    'inbox worker commands.mjs           # handle commands',
    'inbox doctor                        # is something wrong?',
    'inbox dead-letters groups           # what failed, by cause',
  ],
  send: [
    `inbox send TransferFunds --id order-17 --payload '{"cents":500}'`,
    'inbox send TransferFunds --id order-17 --payload @payload.json',
    'inbox send --file commands.ndjson',
    'gzip -dc commands.ndjson.gz | inbox send --file -',
  ],
  list: [
    'inbox list --status Failed',
    'inbox list --type TransferFunds --since 2h',
    'inbox list --since 2026-03-01T09:00Z --until 2026-03-01T10:00Z --limit 1000 --json',
    'inbox list --correlation order-17   # a whole flow',
  ],
  show: ['inbox show order-17', 'inbox show order-17 --stack', 'inbox show order-17 --json'],
  stats: ['inbox stats', 'inbox stats --exact --json'],
  'dead-letters list': [
    'inbox dead-letters',
    'inbox dead-letters --type TransferFunds --since 2h --text timeout',
    'inbox dead-letters --status all --limit 1000 --json',
  ],
  'dead-letters groups': ['inbox dead-letters groups', 'inbox dead-letters groups --since 24h'],
  'dead-letters show': ['inbox dead-letters show order-17'],
  replay: [
    `inbox replay order-17 --reason 'the account is open again'`,
    `inbox replay order-17 --payload @corrected.json --reason 'amount corrected'`,
    `inbox replay --group TransferFunds/TypeError/862fb349 --canary 5 --rate 20 --reason 'fixed in 1.4.1'`,
  ],
  discard: [
    `inbox discard order-17 --reason 'cancelled by the customer'`,
    `inbox discard --group TransferFunds/TypeError/862fb349 --reason 'sent twice' --yes`,
  ],
  restore: [`inbox restore order-17 --reason 'discarded by mistake'`],
  'dry-run': [
    'inbox dry-run --commands commands.mjs order-17',
    'inbox dry-run --commands commands.mjs order-17 --payload @corrected.json',
    'inbox dry-run --commands commands.mjs --group TransferFunds/TypeError/862fb349 --limit 100',
  ],
  audit: [
    'inbox audit --since 24h',
    'inbox audit --message order-17',
    'inbox audit --actor ada --action replay',
  ],
  prune: [
    'inbox prune --older-than 30d --dry-run',
    'inbox prune --older-than 30d --outbox-older-than 7d --dead-letters-older-than 90d',
  ],
  worker: [
    'inbox worker commands.mjs',
    'inbox worker commands.mjs --supervise --build-id 1.4.1 --publish nats://localhost:4222',
  ],
  dev: ['inbox dev', 'inbox dev commands.mjs'],
  doctor: ['inbox doctor', 'inbox doctor --json'],
};
