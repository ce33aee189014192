#!/bin/sh
# Makes the namespace, or gives an existing one the retention asked for.
#
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, NAMESPACE_RETENTION (e.g. 72h).
set -eu

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
else
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
fi

# The frontend learns of a new namespace when it next refreshes its cache, up to 10 seconds later; until then every
# other call says that there is none. Whoever depends on this service must not meet that.
tries=0
until temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1 >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1
    exit 1
  fi
  sleep 1
done
