package catalog

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of a catalogue document, for editors. What it refuses is refused; what only all definitions
// together tell, such as an id that nothing has, it cannot know.
func Schema() []byte { return slices.Clone(schema) }
