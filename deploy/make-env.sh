#!/bin/sh
# Writes .env beside docker-compose.yml: .env.example with a random password for each that is empty. Only its owner can read
# it. One that is there already stays as it is: its passwords are those of the database.
set -eu
umask 077
cd "$(dirname "$0")/.."

if [ -e .env ] || [ -L .env ]; then
  echo ".env is there already, and was not changed" >&2
  exit 1
fi
unfinished=$(mktemp .env.XXXXXX)
trap 'rm -f "$unfinished"' EXIT
while IFS= read -r line; do
  case $line in
    *_PASSWORD=) line=$line$(od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
  esac
  printf '%s\n' "$line"
done <.env.example >"$unfinished"
mv "$unfinished" .env
echo ".env has new passwords; next: docker compose up --detach --build --wait" >&2
