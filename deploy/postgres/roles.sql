-- Who may do what in the database; run once, as a superuser, in the new database.
--
-- eatfit24_owner holds the tables and does not log in. The application logs in as
-- eatfit24_a or eatfit24_b, which own nothing and take turns when the password is rotated;
-- they become the owner only where migrations run.

CREATE ROLE eatfit24_owner NOLOGIN;
CREATE ROLE eatfit24_app NOLOGIN;
CREATE ROLE eatfit24_a LOGIN CONNECTION LIMIT 150 IN ROLE eatfit24_app;
CREATE ROLE eatfit24_b LOGIN CONNECTION LIMIT 150 IN ROLE eatfit24_app;
GRANT eatfit24_owner TO eatfit24_a, eatfit24_b WITH INHERIT FALSE, SET TRUE;

ALTER SCHEMA public OWNER TO eatfit24_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO eatfit24_app;
ALTER DEFAULT PRIVILEGES FOR ROLE eatfit24_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO eatfit24_app;
ALTER DEFAULT PRIVILEGES FOR ROLE eatfit24_owner IN SCHEMA public
  GRANT USAGE, SELECT ON SEQUENCES TO eatfit24_app;
