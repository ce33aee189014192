/**
 * The examples at the end of each command's `--help`.
 *
 * @module
 */
export const EXAMPLES: Record<string, readonly string[]> = {
  '': [
    'inbox dev commands.mjs              # try it out, with embedded servers',
    'inbox setup                         # prepare the servers in DATABASE_URL and TEMPORAL_ADDRESS',
    'inbox worker commands.mjs           # handle commands',
    'inbox doctor                        # check that everything is healthy',
    'inbox dead-letters groups           # see what failed, by cause',
  ],
  migrate: ['inbox migrate', 'inbox migrate --wait 10m'],
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
  'dead-letters': [
    'inbox dead-letters groups',
    'inbox dead-letters --group TransferFunds/TypeError/862fb349',
    'inbox dead-letters show order-17',
  ],
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
    `inbox discard order-17 --reason 'canceled by the customer'`,
    `inbox discard --group TransferFunds/TypeError/862fb349 --reason 'sent twice' --yes`,
  ],
  restore: [`inbox restore order-17 --reason 'discarded by mistake'`],
  'dry-run': [
    'inbox dry-run --commands commands.mjs order-17',
    'inbox dry-run --commands commands.mjs order-17 --payload @corrected.json',
    'inbox dry-run --commands commands.mjs --group TransferFunds/TypeError/862fb349 --limit 100',
  ],
  campaigns: [
    'inbox campaigns',
    'inbox campaigns show 01a20d37-7400-713c-a2b9-244abc742ffd',
    `inbox campaigns pause 01a20d37-7400-713c-a2b9-244abc742ffd --reason 'errors in the log'`,
  ],
  outbox: [
    'inbox outbox',
    'inbox outbox release 01a20d37-7400-7d51-8c3e-5a9b0c6d2e1f',
    `inbox outbox skip 01a20d37-7400-7d51-8c3e-5a9b0c6d2e1f --reason 'too large for the broker'`,
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
