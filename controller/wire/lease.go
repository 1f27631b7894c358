package wire

import (
	"time"

	"mainstay/controller/platform"
)

// LeaseAnswer is an agent's answer to GET /v1/lease?member=M&epoch=E. The agents of app servers that run with M ask it while no
// leader answers.
type LeaseAnswer struct {
	Member string         `json:"member"`
	Epoch  platform.Epoch `json:"epoch"`
	// Left is the time for which M supports a permit: as long as if the permit had been given with the last renewal of M's lease;
	// 0 if M does not act as primary of that epoch.
	Left time.Duration `json:"left"`
}
