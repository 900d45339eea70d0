package main

type keyArchiveGroup struct {
	Release keyArchiveReleaseCmd `cmd:"" help:"${help_key_archive_release}"`
}
