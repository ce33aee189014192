# The inbox with the bank's commands: one image for `inbox setup`, the worker and every other command of the CLI.
# Debian, not Alpine: the Temporal SDK's native part is built against glibc.

# A digest pins it: --build-arg NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No dependency of ours needs its install script, so none may run.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
COPY activities ./activities
COPY workflows ./workflows
COPY examples ./examples
COPY scripts/bundle-workflows.mjs ./scripts/
RUN npm run build

# The dependencies again, without those for development: neither the embedded Postgres nor @temporalio/testing.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund --omit=dev
# The SDK carries its native part for five platforms, 137 MB of 272; only this one's is ever loaded.
RUN find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 \
    ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -r {} +

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
# All of it belongs to root and the process does not run as root: it cannot change its own code.
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY migrations ./migrations
# The bank reads its schema and sample data from beside its sources.
COPY examples ./examples
COPY deploy/worker-health.mjs ./deploy/
USER node
# 15 seconds: the check starts a Node of its own, which on a busy machine takes seconds.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
  CMD ["node", "deploy/worker-health.mjs"]
# The exec form, so that SIGTERM reaches the worker and it can drain. Run with an init (`init: true`, `docker run
# --init`): Node as process 1 would not reap children.
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["--help"]
