"""Where bodies go, a file a kind: `directory` keeps them as files, `memory` hands them back, `null`
drops them. What all of them are is `model.bodies`."""
