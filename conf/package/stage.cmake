# Run by cpack when all files stand where a package takes them from.

unset(ENV{DESTDIR})
execute_process(COMMAND "@CMAKE_STRIP@" --strip-unneeded --remove-section=.comment
	"${CPACK_TEMPORARY_DIRECTORY}/usr/sbin/smtp-gated"
	"${CPACK_TEMPORARY_DIRECTORY}/usr/sbin/smtp-gated-helper" COMMAND_ERROR_IS_FATAL ANY)

set(source "@PROJECT_SOURCE_DIR@/conf/package/debian")

if(CPACK_GENERATOR STREQUAL "DEB")
	set(share "${CPACK_TEMPORARY_DIRECTORY}/usr/share")
	set(doc "${share}/doc/smtp-gated")
	# Debian has the text of the licence in a place of its own, which copyright names.
	file(REMOVE "${doc}/LICENSE")
	file(INSTALL "${source}/README.Debian" DESTINATION "${doc}")
	configure_file("${source}/changelog" "${doc}/changelog.Debian" COPYONLY)
	execute_process(COMMAND gzip -9nf "${doc}/changelog.Debian" COMMAND_ERROR_IS_FATAL ANY)
	file(INSTALL "${source}/overrides" DESTINATION "${share}/lintian/overrides"
		RENAME smtp-gated)
endif()

# The time of the commit, and rights that do not depend on who builds.
execute_process(COMMAND chmod -R u=rwX,go=rX "${CPACK_TEMPORARY_DIRECTORY}"
	COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND find "${CPACK_TEMPORARY_DIRECTORY}"
	-exec touch -h -d "\@$ENV{SOURCE_DATE_EPOCH}" {} +
	COMMAND_ERROR_IS_FATAL ANY)
