package config

import (
	"regexp"
	"strings"
)

var parameterPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$`)

// managed holds the PostgreSQL parameters that Mainstay sets on every member, and why the user cannot set them.
var managed = map[string]string{
	"synchronous_standby_names": "it is the durability of the cluster",
	"fsync":                     "a commit must be on disk before it is acknowledged",
	"full_page_writes":          "a crash must not tear pages",
	"restart_after_crash":       "otherwise a crashed primary would restart without a lease",
	"primary_conninfo":          "it follows the primary, and a seal empties it",
	"primary_slot_name":         "it follows the primary",
	"restore_command":           "it is off while a member is sealed",
	"promote_trigger_file":      "only the controllers decide a promotion",
	"recovery_min_apply_delay":  "it would delay a promotion",

	"hot_standby":                 "replicas must answer probes",
	"wal_level":                   "replication and rewind need it",
	"wal_log_hints":               "rewind needs it",
	"max_slot_wal_keep_size":      "slots must not fill the disk",
	"wal_retrieve_retry_interval": "replicas must reconnect at once after a failover",
	"wal_receiver_timeout":        "replicas must notice a lost primary",

	"cluster_name":            "it names the incarnation that acknowledges commits",
	"port":                    "it is set in the platform file",
	"listen_addresses":        "it follows the host's address in the platform file",
	"unix_socket_directories": "set `socket` of the member instead",
	"data_directory":          "set `data` of the member instead",
	"config_file":             "Mainstay's includes the user's",
	"hba_file":                "it is written when a member is initialised",
	"ident_file":              "it is written when a member is initialised",
	"external_pid_file":       "the guard reads postmaster.pid",
	"ssl":                     "set `tls` under `postgres` instead",
	"ssl_ca_file":             "set `tls` under `postgres` instead",
	"ssl_cert_file":           "set `tls` under `postgres` instead",
	"ssl_key_file":            "set `tls` under `postgres` instead",
	"password_encryption":     "it is always scram-sha-256",
}

// Managed says why only Mainstay sets a PostgreSQL parameter (in lower case); "" for one that the user sets.
func Managed(parameter string) string {
	if strings.HasPrefix(parameter, "recovery_target") {
		return "replicas follow the newest timeline to its end"
	}
	return managed[parameter]
}
