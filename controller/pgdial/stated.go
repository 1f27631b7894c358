package pgdial

// stated is one setting of a session. since is the first major version that has it, 0 for all supported ones.
type stated struct {
	name, value string
	since       int
	superuser   bool // only a superuser may set it
}

// Our sessions depend on these settings. Other values, which a user sets by ALTER DATABASE, ALTER ROLE or a file, are for other sessions.
var sessions = []stated{
	// An operator that a user has created in a schema of the path would run as the superuser.
	{name: "search_path", value: "pg_catalog"},
	// With another role, which ALTER ROLE can set for each session, it has only that role's rights.
	{name: "role", value: "none"},
	// Our own writes never wait for replicas.
	{name: "synchronous_commit", value: "local"},
	{name: "default_transaction_read_only", value: "off"},
	// A standby refuses serializable, and so each of our statements.
	{name: "default_transaction_isolation", value: "read committed"},
	{name: "default_transaction_deferrable", value: "off"},
	// Each caller has its own bound: statement_timeout is added to these.
	{name: "lock_timeout", value: "0"},
	{name: "idle_in_transaction_session_timeout", value: "0"},
	{name: "idle_session_timeout", value: "0", since: 14},
	{name: "transaction_timeout", value: "0", since: 17},
	// Compiling a query takes longer than running it, and needs a library that may be broken.
	{name: "jit", value: "off"},
	// An error of a statement is an answer.
	{name: "exit_on_error", value: "off"},
	// Our table is created in any database: with a conflict clause, and where the data is.
	{name: "default_table_access_method", value: "heap"},
	{name: "default_tablespace", value: ""},
	// A missing library, or a failing login trigger (one that writes fails on a standby), ends every login.
	{name: "local_preload_libraries", value: ""},
	{name: "session_preload_libraries", value: "", superuser: true},
	{name: "event_triggers", value: "off", since: 17, superuser: true},
}

// Sessions are the settings of our sessions on a server of that major version; with 0 those that every supported version has, because an
// unknown setting ends the login. Only a superuser may set all of them.
func Sessions(major int, superuser bool) map[string]string {
	out := map[string]string{}
	for _, s := range sessions {
		if major >= s.since && (superuser || !s.superuser) {
			out[s.name] = s.value
		}
	}
	return out
}
