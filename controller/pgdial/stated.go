package pgdial

// stated is one setting of a session. since is the first major version that knows it, 0 for all that are supported.
type stated struct {
	name, value string
	since       int
	superuser   bool // nobody else may set it
}

// sessions rest on these. What a user gives new sessions instead, by ALTER DATABASE, ALTER ROLE or a file, is for their own.
var sessions = []stated{
	// An operator that a user has made in a schema of the path would run as the superuser.
	{name: "search_path", value: "pg_catalog"},
	// With another role, which ALTER ROLE can give each session, it has that role's rights only.
	{name: "role", value: "none"},
	// Our own writes never wait for replicas.
	{name: "synchronous_commit", value: "local"},
	{name: "default_transaction_read_only", value: "off"},
	// A standby refuses serializable, and with it each of our statements.
	{name: "default_transaction_isolation", value: "read committed"},
	{name: "default_transaction_deferrable", value: "off"},
	// Whoever asks brings a bound of its own: statement_timeout is added to these.
	{name: "lock_timeout", value: "0"},
	{name: "idle_in_transaction_session_timeout", value: "0"},
	{name: "idle_session_timeout", value: "0", since: 14},
	{name: "transaction_timeout", value: "0", since: 17},
	// To compile a question takes longer than to answer it, and needs a library that may be broken.
	{name: "jit", value: "off"},
	// An error of a statement is an answer.
	{name: "exit_on_error", value: "off"},
	// Our table is made in any database: with a conflict clause, and where the data is.
	{name: "default_table_access_method", value: "heap"},
	{name: "default_tablespace", value: ""},
	// A library that is missing, or a login trigger that fails (each that writes does, on a standby), ends every login.
	{name: "local_preload_libraries", value: ""},
	{name: "session_preload_libraries", value: "", superuser: true},
	{name: "event_triggers", value: "off", since: 17, superuser: true},
}

// Sessions are the settings that a session of ours states, on a server of that major version; with 0 those that each supported one
// knows, since one that it does not know ends the login. Nobody but a superuser may set all of them.
func Sessions(major int, superuser bool) map[string]string {
	out := map[string]string{}
	for _, s := range sessions {
		if major >= s.since && (superuser || !s.superuser) {
			out[s.name] = s.value
		}
	}
	return out
}
