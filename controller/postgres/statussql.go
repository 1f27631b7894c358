package postgres

import (
	"strconv"
	"strings"
)

// statusSQL is the one statement behind Status, movingSQL the one behind Moving. Functions that fail on the wrong side of
// recovery sit in a CASE, which evaluates one arm only.
func statusSQL(major int) string {
	more, collations := ", catalog_xmin, temporary, false AS failover, false AS synced", collationsByDatabase
	if major >= 17 {
		more = ", catalog_xmin, temporary, failover, synced"
	}
	if major < 15 {
		collations = collationsBefore15
	}
	return strings.NewReplacer("{slot}", more, "{collations}", collations).Replace(fill(statusText, major))
}

func movingSQL(major int) string { return strings.ReplaceAll(fill(movingText, major), "{slot}", "") }

func fill(text string, major int) string {
	text = strings.NewReplacer("{moving}", movingFields, "{base}", baseTables, "{named}", strconv.Itoa(maxUserSlots)).Replace(text)
	return strings.ReplaceAll(text, "{worn}", wornSlot(major))
}

// From 15 on a database records the version of the library behind its default collation, which is the primary's on a standby too. Before,
// only collations do: the one that stands for libc's is read in the database `postgres`. A locale of C depends on no library.
const (
	collationsByDatabase = `SELECT datname AS name, datlocprovider AS provider, datcollversion AS recorded,
		pg_database_collation_actual_version(oid) AS offered FROM pg_database WHERE datallowconn AND datcollversion IS NOT NULL`
	collationsBefore15 = `SELECT datname AS name, 'c'::"char" AS provider, c.collversion AS recorded, pg_collation_actual_version(c.oid) AS offered
		FROM pg_database, (SELECT oid, collversion FROM pg_collation WHERE collprovider = 'c' AND collversion IS NOT NULL ORDER BY oid LIMIT 1) AS c
		WHERE datallowconn AND datcollate !~* '^(C|POSIX)($|[.])'`
)

// baseTables are what both statements read.
const baseTables = `r AS MATERIALIZED (
	SELECT pg_is_in_recovery() AS rec
), w AS MATERIALIZED (
	SELECT * FROM pg_stat_wal_receiver LIMIT 1
), p AS MATERIALIZED (
	SELECT CASE WHEN rec THEN pg_last_wal_receive_lsn() END AS recv,
	       CASE WHEN rec THEN pg_last_wal_replay_lsn() END AS repl,
	       CASE WHEN rec THEN NULL ELSE pg_current_wal_insert_lsn() END AS ins,
	       CASE WHEN rec THEN NULL ELSE pg_current_wal_flush_lsn() END AS flu FROM r
), a AS MATERIALIZED (
	SELECT pid, application_name, client_addr, backend_start, backend_type, wait_event FROM pg_stat_get_activity(NULL)
), l AS MATERIALIZED (
	SELECT slot_name, slot_type, active, active_pid, restart_lsn, wal_status, {worn} AS worn{slot} FROM pg_get_replication_slots()
)`

const movingFields = `
	'in_recovery', r.rec,
	'started', pg_postmaster_start_time(),
	'checkpoint_timeline', cc.timeline_id,
	'insert', p.ins, 'flush', p.flu, 'receive', p.recv, 'replay', p.repl,
	'replay_age_ms', CASE WHEN p.recv > p.repl THEN greatest(0, coalesce(
		extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000, 0)::bigint) ELSE 0 END,
	'paused', CASE WHEN r.rec THEN pg_is_wal_replay_paused() ELSE false END,
	'pause_state', CASE WHEN r.rec THEN pg_get_wal_replay_pause_state() ELSE '' END,
	'startup_wait', coalesce((SELECT wait_event FROM a WHERE backend_type = 'startup' LIMIT 1), ''),
	'receiver', (SELECT json_build_object('pid', pid, 'status', coalesce(status, ''), 'host', coalesce(sender_host, ''),
			'port', coalesce(sender_port, 0), 'slot', coalesce(slot_name, ''), 'written', written_lsn, 'flushed', flushed_lsn,
			'age_ms', coalesce((extract(epoch FROM clock_timestamp() - last_msg_receipt_time) * 1000)::bigint, -1)) FROM w
			WHERE pid IS NOT NULL),
	'senders', coalesce((SELECT json_agg(json_build_object('pid', s.pid, 'name', a.application_name,
			'addr', coalesce(host(a.client_addr), ''), 'state', coalesce(s.state, ''), 'sent', s.sent_lsn, 'write', s.write_lsn,
			'flush', s.flush_lsn, 'replay', s.replay_lsn, 'started', a.backend_start,
			'sync_priority', coalesce(s.sync_priority, 0), 'sync_state', coalesce(s.sync_state, ''),
			'logical', EXISTS (SELECT FROM l WHERE l.active_pid = s.pid AND l.slot_type = 'logical'))
			ORDER BY a.application_name, s.pid) FROM pg_stat_get_wal_senders() AS s JOIN a USING (pid)), '[]'),
	'slots', coalesce((SELECT json_agg(json_build_object('name', slot_name, 'physical', slot_type = 'physical',
			'active', active, 'restart', restart_lsn, 'worn', coalesce(worn, false)) ORDER BY slot_name) FROM l), '[]'),
	'sync_names', current_setting('synchronous_standby_names'),
	'conninfo', current_setting('primary_conninfo'),
	'sync_waits', (SELECT count(*) FROM a WHERE wait_event = 'SyncRep'),
	'connections', (SELECT count(*) FROM a WHERE backend_type = 'client backend')`

const movingText = `
WITH {base}
SELECT json_build_object({moving},
	'timeline', CASE WHEN r.rec THEN greatest(cc.timeline_id, cr.min_recovery_end_timeline, (SELECT received_tli FROM w))
		ELSE ('x' || left(CASE WHEN r.rec THEN NULL ELSE pg_walfile_name(p.ins) END, 8))::bit(32)::bigint END)
FROM r, p, pg_control_checkpoint() AS cc, pg_control_recovery() AS cr`

// The timeline of a standby is the highest among: the latest checkpoint's, that of the minimum recovery point, the
// receiver's, and that of the newest segment file at the position reached. None alone is enough: the first two lag, the
// third ends with the receiver. A segment file of a timeline exists here only if its WAL was received or copied.
const statusText = `
WITH {base}, t AS MATERIALIZED (
	SELECT (greatest(recv, repl) - '0/0'::pg_lsn - 1)::numeric AS pos, pg_size_bytes(current_setting('wal_segment_size')) AS seg FROM p
), f AS MATERIALIZED (
	SELECT max(('x' || left(n, 8))::bit(32)::bigint) AS tli FROM t, r, pg_ls_dir('pg_wal') AS n
	WHERE rec AND n ~ '^[0-9A-F]{24}$' AND substr(n, 9) = upper(
		lpad(to_hex(div(pos, 4294967296::numeric)::bigint), 8, '0') ||
		lpad(to_hex(div(mod(pos, 4294967296::numeric), seg::numeric)::bigint), 8, '0'))
), o AS MATERIALIZED (
	SELECT to_hex(('x' || left(min(n), 8))::bit(32)::bigint) || '/' || to_hex(('x' || right(min(n), 8))::bit(32)::bigint * min(seg)) AS oldest,
		count(*) * min(seg) AS bytes
	FROM t, (SELECT substr(n, 9) AS n FROM pg_ls_dir('pg_wal') AS n WHERE n ~ '^[0-9A-F]{24}$') AS segments
), g AS MATERIALIZED (
	SELECT name, setting, context, source, sourcefile, sourceline, pending_restart FROM pg_show_all_settings()
), u AS MATERIALIZED (
	SELECT slot_name, slot_type, active, restart_lsn, catalog_xmin, wal_status, failover, synced FROM l
	WHERE NOT temporary AND NOT starts_with(slot_name::text, '` + slotPrefix + `')
), y AS MATERIALIZED (
	SELECT * FROM pg_show_all_file_settings()
), e AS MATERIALIZED (
	SELECT lower(name) AS name, setting, sourcefile, seqno, sourcefile LIKE '%/` + managedName + `' AS ours FROM y
	WHERE name IS NOT NULL AND setting IS NOT NULL
), files AS MATERIALIZED (
	SELECT DISTINCT ON (name) name, setting FROM e
	WHERE name IN ('wal_level', 'max_wal_senders', 'max_replication_slots') AND NOT ours ORDER BY name, seqno DESC
), v AS MATERIALIZED (
	SELECT DISTINCT ON (name) name, setting, sourcefile, ours,
		(SELECT setting FROM e AS m WHERE m.name = e.name AND m.ours ORDER BY seqno DESC LIMIT 1) AS written FROM e ORDER BY name, seqno DESC
), c AS MATERIALIZED (
	SELECT name, CASE provider WHEN 'i' THEN 'ICU' WHEN 'c' THEN 'libc' ELSE 'builtin' END AS provider, recorded,
		coalesce(offered, '') AS offered FROM ({collations}) AS collations WHERE recorded IS DISTINCT FROM offered
), d AS MATERIALIZED (
	SELECT name, setting::int, source FROM g WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders',
		'max_prepared_transactions', 'max_locks_per_transaction')
)
SELECT json_build_object({moving},
	'timeline', CASE WHEN r.rec THEN greatest(cc.timeline_id, cr.min_recovery_end_timeline, f.tli,
			(SELECT received_tli FROM w))
		ELSE ('x' || left(CASE WHEN r.rec THEN NULL ELSE pg_walfile_name(p.ins) END, 8))::bit(32)::bigint END,
	'oldest', (SELECT oldest FROM o),
	'system_id', (SELECT system_identifier::text FROM pg_control_system()),
	'version', current_setting('server_version'),
	'asked', (SELECT backend_start FROM a WHERE pid = pg_backend_pid()),
	'sync_names_file', coalesce((SELECT sourcefile FROM g WHERE name = 'synchronous_standby_names'), ''),
	'conninfo_file', coalesce((SELECT sourcefile FROM g WHERE name = 'primary_conninfo'), ''),
	'alter_system_off', coalesce((SELECT coalesce(sourcefile || ' line ' || sourceline, source) FROM g
			WHERE name = 'allow_alter_system' AND setting = 'off'), ''),
	'pending_restart', coalesce((SELECT json_agg(name ORDER BY name) FROM g WHERE pending_restart), '[]'),
	'unusable', coalesce((SELECT json_agg(line ORDER BY seqno) FROM (
			SELECT seqno, left(format('%s line %s: %s', sourcefile, sourceline, concat_ws(': ', name, error)), 300) AS line FROM y
			WHERE error IS NOT NULL AND NOT EXISTS (SELECT FROM g WHERE g.name = lower(y.name) AND g.context = 'postmaster')
			ORDER BY seqno LIMIT 3) AS first), '[]'),
	'demanded', (SELECT json_object_agg(name, setting) FROM d),
	'raised', coalesce((SELECT json_agg(name ORDER BY name) FROM d WHERE source = 'command line'), '[]'),
	'user_slots', coalesce((SELECT json_agg(json_build_object('name', slot_name, 'logical', slot_type = 'logical', 'active', active,
			'held', CASE WHEN restart_lsn IS NULL THEN -1
				ELSE greatest(0, coalesce(p.flu, greatest(p.recv, p.repl)) - restart_lsn)::bigint END,
			'catalog_xmin', catalog_xmin::text::bigint, 'wal_status', coalesce(wal_status, ''), 'failover', failover, 'synced', synced)
			ORDER BY slot_name) FROM (SELECT * FROM u ORDER BY restart_lsn, slot_name LIMIT {named}) AS named), '[]'),
	'more_user_slots', greatest(0, (SELECT count(*) FROM u) - {named}),
	'sync_slots', coalesce(current_setting('synchronized_standby_slots', true), ''),
	'held', current_setting('recovery_target_lsn') <> '' AND r.rec,
	'wanted', coalesce((SELECT json_object_agg(name, setting) FROM files), '{}'),
	'in_force', (SELECT json_object_agg(name, setting) FROM g WHERE name IN ('wal_level', 'max_wal_senders', 'max_replication_slots')
			AND source <> 'command line'),
	'last', coalesce((SELECT json_agg(json_build_object('name', name, 'value', setting, 'file', sourcefile, 'written', written) ORDER BY name)
			FROM v WHERE NOT ours AND (written IS NOT NULL OR sourcefile LIKE '%/` + autoConf + `')), '[]'),
	'archiver', CASE WHEN current_setting('archive_mode') = 'always' OR current_setting('archive_mode') = 'on' AND NOT r.rec THEN
		(SELECT json_build_object('archived', coalesce(last_archived_wal, ''),
			'failed', CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_wal ELSE '' END,
			'failures', failed_count,
			'waiting', (SELECT count(*) FROM pg_ls_dir('pg_wal/archive_status', true, false) AS n WHERE n LIKE '%.ready'),
			'kept', (SELECT bytes FROM o), 'segment', (SELECT seg FROM t),
			'until', CASE WHEN NOT r.rec THEN (SELECT least('0/0'::pg_lsn + div(p.flu - '0/0'::pg_lsn, seg) * seg, '0/0'::pg_lsn +
				min(('x' || substr(n, 9, 8))::bit(32)::bigint * 4294967296 + ('x' || substr(n, 17, 8))::bit(32)::bigint * seg))
				FROM t LEFT JOIN pg_ls_dir('pg_wal/archive_status', true, false) AS n ON n ~ '^[0-9A-F]{24}[.]ready$' GROUP BY seg) END)
			FROM pg_stat_get_archiver()) END,
	'collations', coalesce((SELECT json_agg(named ORDER BY name) FROM (SELECT * FROM c ORDER BY name LIMIT {named}) AS named), '[]'),
	'io_workers', coalesce((SELECT json_agg(pid ORDER BY pid) FROM a WHERE backend_type = 'io worker'), '[]'),
	'damage', coalesce((SELECT string_agg(format('%s in %s, the last at %s UTC', checksum_failures,
			coalesce('database ' || quote_ident(datname), 'the catalogs that all databases share'),
			to_char(checksum_last_failure AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')), '; ' ORDER BY datname)
			FROM (SELECT datname, checksum_failures, checksum_last_failure FROM pg_stat_database WHERE checksum_failures > 0
				ORDER BY datname LIMIT {named}) AS b), ''),
	'damaged', (SELECT coalesce(sum(checksum_failures), 0)::bigint FROM pg_stat_database))
FROM r, p, f, pg_control_checkpoint() AS cc, pg_control_recovery() AS cr`
