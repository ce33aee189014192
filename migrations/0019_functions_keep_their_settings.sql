-- breaking: false
-- A function is parsed under the settings of the session that calls it. Without standard_conforming_strings the backslashes of
-- its regular expressions mean something else: the same payload gets another fingerprint, and an id such as "v" counts as blank.

do $$
declare
  routine regprocedure;
begin
  for routine in select oid::regprocedure from pg_catalog.pg_proc where pronamespace = 'inbox'::regnamespace loop
    execute pg_catalog.format('alter routine %s set standard_conforming_strings = on', routine);
  end loop;
end
$$;
