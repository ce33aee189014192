# The inbox with the bank's commands. The same image runs `inbox setup`, the worker and all other CLI commands.
# The base is Debian, not Alpine, because the Temporal SDK's native module is built for glibc.

# To pin the base image by its digest: --build-arg NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No dependency needs its install script, so install scripts are disabled.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
COPY activities ./activities
COPY workflows ./workflows
COPY examples ./examples
COPY scripts/bundle-workflows.mjs ./scripts/
RUN npm run build

# The dependencies of a worker, in the versions of the lock file, without the development packages, such as the embedded
# Postgres. @temporalio/worker is an optional peer dependency, because senders do not need it, so it is made a dependency here.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm pkg set "dependencies.@temporalio/worker=$(npm pkg get peerDependencies.@temporalio/worker | tr -d '"')" && \
    npm pkg delete devDependencies peerDependencies peerDependenciesMeta && \
    npm install --ignore-scripts --no-audit --no-fund
# The SDK ships its native module for five platforms (137 MB of 272 MB). Keep only the one for this platform.
RUN find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 \
    ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -r {} +

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
# All files belong to root, and the process does not run as root, so it cannot change its own code.
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
COPY migrations ./migrations
# The bank reads its schema and sample data from its source folder.
COPY examples ./examples
COPY deploy/worker-health.mjs ./deploy/
USER node
# Where a worker serves its metrics and probes, to other containers of its network. No port is published by this.
ENV INBOX_HTTP=0.0.0.0:9464
# Asks the worker's /readyz. The timeout is 15 seconds because the check starts its own Node process.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
  CMD ["node", "deploy/worker-health.mjs"]
# The exec form lets SIGTERM reach the worker, so that it can drain. Run the container with an init process (`init: true` or
# `docker run --init`), because Node as process 1 does not reap child processes.
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["--help"]
