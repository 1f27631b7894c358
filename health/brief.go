package health

import "strings"

// maxText bounds an error's text in a report.
const maxText = 300

// Brief is an error's first line, for a report.
func Brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
