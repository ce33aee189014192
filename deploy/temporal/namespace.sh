#!/bin/sh
# Creates the namespace, or sets the retention of an existing one.
#
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, NAMESPACE_RETENTION (e.g. 72h).
set -eu

# The server's port is open shortly before the server answers.
tries=0
until temporal operator cluster health >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    temporal operator cluster health
    exit 1
  fi
  sleep 1
done

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
else
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
fi

# The frontend sees a new namespace only after the next refresh of its cache, up to 10 seconds later. Until then, calls
# fail with "namespace not found". Wait for that here, because other services start when this one has completed.
tries=0
until temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1 >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1
    exit 1
  fi
  sleep 1
done
