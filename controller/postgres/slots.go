package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

const slotPrefix = "mainstay_"

// maxUserSlots is how many slots of its user's a Status names.
const maxUserSlots = health.MaxSlots

var plainSlot = regexp.MustCompile(`^[a-z0-9-]{1,50}$`)

// SlotName is the name of a member's slot on every other member: feed-e1 has mainstay_feed_e1. A name that does not map
// one to one into a slot's letters gets a few of its hash as well.
func SlotName(member string) string {
	name := slotPrefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, member)
	if plainSlot.MatchString(member) {
		return name
	}
	sum := sha256.Sum256([]byte(member))
	return name[:min(len(name), 52)] + "_" + hex.EncodeToString(sum[:4])
}

// SyncSlots writes synchronized_standby_slots: the slots of these members. A consumer of a failover slot gets no change that one of
// them has not flushed.
func SyncSlots(members []string) string {
	slots := make([]string, len(members))
	for n, name := range members {
		slots[n] = SlotName(name)
	}
	return strings.Join(slots, ", ")
}

// IsSlotName tells whether a slot bears a name of SlotName's making: that of a member, present or removed.
func IsSlotName(slot string) bool { return strings.HasPrefix(slot, slotPrefix) }

// EnsureSlots makes the named physical slots, reserving WAL at once, and drops those in drop, their senders ended first. A
// slot that has lost its WAL is made anew. It continues after a failure and returns them all; on a standby it works as well.
func (i *Server) EnsureSlots(ctx context.Context, names, drop []string) (err error) {
	defer i.wrap("make the slots of", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		have, err := slotsOf(ctx, c)
		if err != nil {
			return err
		}
		var errs []error
		for _, name := range drop {
			if _, ok := have[name]; ok && !slices.Contains(names, name) {
				errs = append(errs, dropUsed(ctx, c, name))
			}
		}
		for _, name := range names {
			status, ok := have[name]
			if ok && status == "lost" {
				errs = append(errs, slotCall(ctx, c, name, "SELECT pg_drop_replication_slot($1)"))
				ok = false
			}
			if !ok {
				errs = append(errs, slotCall(ctx, c, name, "SELECT pg_create_physical_replication_slot($1, true)"))
			}
		}
		return errors.Join(errs...)
	})
}

// DropSuperseded drops, on a standby, those of the named slots that are failover slots of its own, from when it was primary, and not in
// use. They hold a position that the present primary's have passed, and stop the synchronisation of all slots (17 and later).
func (i *Server) DropSuperseded(ctx context.Context, names []string) (err error) {
	defer i.wrap("drop superseded slots of", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		var errs []error
		for _, name := range names {
			errs = append(errs, slotCall(ctx, c, name, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
				WHERE slot_name = $1 AND failover AND NOT synced AND NOT active AND pg_is_in_recovery()`))
		}
		return errors.Join(errs...)
	})
}

// objectInUse is the SQLSTATE of a slot that has a sender.
const objectInUse = "55006"

// dropUsed drops a physical slot that may have a sender: it is ended first, and its receiver comes back only after
// wal_retrieve_retry_interval, so a few tries do. ctx bounds them.
func dropUsed(ctx context.Context, c *sql.Conn, name string) error {
	for {
		err := slotCall(ctx, c, name,
			"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical' AND active")
		if err == nil {
			err = slotCall(ctx, c, name,
				"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical'")
		}
		if pgdial.SQLState(err) != objectInUse {
			return err
		}
		if gone := wakeup.Pause(ctx, 5*time.Millisecond); gone != nil {
			return err
		}
	}
}

// DropIdleSlots drops Mainstay's slots without a stream, when it releases a member: nothing would advance
// them any more, and they would keep WAL.
func (i *Server) DropIdleSlots(ctx context.Context) (err error) {
	defer i.wrap("drop the slots of", &err)
	return i.exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
		WHERE starts_with(slot_name, $1) AND slot_type = 'physical' AND NOT active`, slotPrefix)
}

func slotCall(ctx context.Context, c *sql.Conn, name, statement string) error {
	if _, err := c.ExecContext(ctx, statement, name); err != nil {
		return fmt.Errorf("slot %s: %w", name, err)
	}
	return nil
}

// slotsOf maps the names of all slots to their wal_status.
func slotsOf(ctx context.Context, c *sql.Conn) (map[string]string, error) {
	rows, err := c.QueryContext(ctx, "SELECT slot_name, coalesce(wal_status, '') FROM pg_replication_slots")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var name, status string
		if err := rows.Scan(&name, &status); err != nil {
			return nil, err
		}
		out[name] = status
	}
	return out, rows.Err()
}
