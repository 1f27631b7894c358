package postgres

import "testing"

// TestStartValues: the settings of the agent's file are those with which a new cluster begins.
func TestStartValues(t *testing.T) {
	needPostgres(t)
	i, ctx := newServer(t, newAuthority(t), "m1"), testContext(t)
	i.Begin = map[string]string{"work_mem": "9MB", "log_line_prefix": `'a' "b\c" %p `}
	check(t, i.Initialise(ctx))
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	check(t, i.exec(ctx, `DO $do$ BEGIN
		ASSERT current_setting('work_mem') = '9MB', current_setting('work_mem');
		ASSERT current_setting('log_line_prefix') = $v$'a' "b\c" %p $v$, current_setting('log_line_prefix');
	END $do$`))
}
