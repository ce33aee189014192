#!/bin/sh
# Waits until the server answers, and creates the namespace, or sets the retention of an existing one.
#
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, NAMESPACE_RETENTION (e.g. 72h).
set -eu

# Repeats a command every second, at most 60 times, until it succeeds. Shows the error of the last try.
wait_for() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -ge 60 ]; then
      "$@"
      exit 1
    fi
    sleep 1
  done
}

# The health check only shows that the port is open.
wait_for temporal operator cluster health

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
else
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
fi

# The frontend sees a new namespace only after the next refresh of its cache, up to 10 seconds later. Until then, calls
# fail with "namespace not found". Wait for that here, because other services start when this one has completed.
wait_for temporal workflow list --namespace "$TEMPORAL_NAMESPACE" --limit 1
