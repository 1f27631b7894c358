// Package config reads the files that operators write: the platform file, which `mainstay apply` stores in the replicated state, and
// the small local files of a controller, an agent and the command line. It is strict, so that a typing error is found when the file
// is written, not at a failover: unknown keys, wrong types and dangling references are refused, all of them at once, each with file,
// line, column, path, fault and remedy (Mistakes).
//
// It must never guess, never change a value silently, never accept a timing that cannot be safe, and never touch a member's data
// directory (L6): of the filesystem it sees the given file, certificates, and a daemon's own folder.
//
// Flow enters as bytes or a path (ParsePlatform, LoadController, LoadAgent, LoadContext) or, from the API, as a value
// (Validate); it leaves as platform.Platform and local settings with every default filled in, and back again as canonical
// text (Export, Diff).
package config
