package pgdial

import (
	"errors"

	"github.com/lib/pq"
)

// TooManyConnections is the SQLSTATE of a server whose every slot is taken, or which has only reserved ones left.
const TooManyConnections = "53300"

// CannotConnectNow is the SQLSTATE of a server that is starting or shutting down.
const CannotConnectNow = "57P03"

// SQLState is the server's own code for an error, "" if the error is not the server's answer.
func SQLState(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}
