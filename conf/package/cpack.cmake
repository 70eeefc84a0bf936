# Read by cpack for each kind of package: the time of a package is that of its commit, not
# of its building.  Without git (from a release's archive): that of the changelog.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
	execute_process(COMMAND git -c safe.directory=* log -1 --format=%ct
		WORKING_DIRECTORY "@PROJECT_SOURCE_DIR@"
		OUTPUT_VARIABLE epoch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
	if(NOT epoch MATCHES "^[0-9]+$")
		file(STRINGS "@PROJECT_SOURCE_DIR@/conf/package/debian/changelog" date
			REGEX "^ -- " LIMIT_COUNT 1)
		string(REGEX REPLACE "^.*>  " "" date "${date}")
		execute_process(COMMAND date -d "${date}" +%s
			OUTPUT_VARIABLE epoch OUTPUT_STRIP_TRAILING_WHITESPACE)
	endif()
	set(ENV{SOURCE_DATE_EPOCH} "${epoch}")
endif()
