// Package wakeup wakes a loop that selects on a channel of capacity 1. Wake-ups are neither lost nor counted: however many
// were sent before the loop receives, it goes round once. It must never block the sender.
package wakeup

// Signal makes ch ready. ch must have a capacity of 1.
func Signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
