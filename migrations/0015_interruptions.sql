-- breaking: false
-- Attempts that lost their connection to Postgres are given back and use up no try. But a handler that kills its own
-- connection every time must become a dead letter in the end: so they are counted here, and beyond a limit they use up tries.
alter table inbox.entries
  -- Attempts of this generation that had begun and were given back.
  add column interruptions integer not null default 0,
  -- Attempts that used up no try, ever: attempt = given_back + failures, and one more for a Completed entry.
  add column given_back integer not null default 0;
