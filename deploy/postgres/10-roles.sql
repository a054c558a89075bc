-- Roles and databases: the bus's owner, who makes and changes its tables; who serves the feeds and changes nothing but to add to
-- the accesses; and Airflow's own. The postgres image runs this file once, when the volume is new. Passwords come from files.
\set ON_ERROR_STOP on
\set motlan_password `cat "${MOTLAN_SECRETS:-/run/secrets}/motlan_password"`
\set motlan_feeds_password `cat "${MOTLAN_SECRETS:-/run/secrets}/motlan_feeds_password"`
\set airflow_password `cat "${MOTLAN_SECRETS:-/run/secrets}/airflow_password"`
create role motlan login password :'motlan_password';
create role motlan_feeds login password :'motlan_feeds_password';
create role airflow login password :'airflow_password';
create database motlan owner motlan;
create database airflow owner airflow;
revoke all on database motlan, airflow, postgres, template1 from public;
grant connect on database motlan to motlan_feeds;
