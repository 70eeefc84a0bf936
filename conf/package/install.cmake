# Run by "cmake --install" and cpack, which know the prefix and DESTDIR: puts down the files
# that name places, and lets them name the places of this prefix.  See package.cmake.

set(source "@PROJECT_SOURCE_DIR@")
set(build "@CMAKE_CURRENT_BINARY_DIR@")
string(REGEX REPLACE "/$" "" prefix "${CMAKE_INSTALL_PREFIX}")
set(sysconf "@CMAKE_INSTALL_SYSCONFDIR@")
if(NOT IS_ABSOLUTE "${sysconf}")
	if(prefix STREQUAL "/usr")
		set(sysconf "/${sysconf}")
	else()
		set(sysconf "${prefix}/${sysconf}")
	endif()
endif()

set(units "@SYSTEMD_UNIT_DIR@")
if(NOT IS_ABSOLUTE "${units}")
	set(units "${prefix}/${units}")
endif()
set(moves
	"/usr/sbin/smtp-gated=${prefix}/@CMAKE_INSTALL_SBINDIR@/smtp-gated"
	"/etc/default/smtp-gated=${sysconf}/default/smtp-gated"
	"/etc/smtp-gated=${sysconf}/smtp-gated"
	"/etc/apparmor.d/usr=${sysconf}/apparmor.d/usr"
	"/usr/lib/systemd/system/=${units}/"
	"/usr/lib/sysusers.d/=${prefix}/lib/sysusers.d/"
	"/usr/lib/tmpfiles.d/=${prefix}/lib/tmpfiles.d/"
	"/usr/share/doc/smtp-gated/=${prefix}/@CMAKE_INSTALL_DOCDIR@/"
	"/usr/share/man/man=${prefix}/@CMAKE_INSTALL_MANDIR@/man"
	"/usr/share/bash-completion/=${prefix}/@CMAKE_INSTALL_DATADIR@/bash-completion/")

# place(FILE DIRECTORY NAME [gz]): a copy, with its places.
function(place file directory name)
	set(made "${build}/places/${name}")
	file(READ "${file}" text)
	foreach(move IN LISTS moves)
		string(REPLACE "=" ";" move "${move}")
		list(GET move 0 from)
		list(GET move 1 to)
		string(REPLACE "${from}" "${to}" text "${text}")
	endforeach()
	file(WRITE "${made}" "${text}")
	if(ARGN)
		# -n: no name and no time, so that the result is the same tomorrow.
		execute_process(COMMAND gzip -9nf "${made}" COMMAND_ERROR_IS_FATAL ANY)
		set(made "${made}.gz")
	endif()
	file(INSTALL FILES "${made}" DESTINATION "${directory}" PERMISSIONS
		OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

place("${build}/smtp-gated.conf" "${sysconf}" smtp-gated.conf)
place("${source}/conf/apparmor/usr.sbin.smtp-gated" "${sysconf}/apparmor.d"
	usr.sbin.smtp-gated)
foreach(unit smtp-gated.service smtp-gated@.service smtp-gated.socket smtp-gated@.socket
	smtp-gated-helper.service smtp-gated-helper.socket)
	place("${source}/conf/systemd/${unit}" "${units}" ${unit})
endforeach()
foreach(kind sysusers tmpfiles)
	place("${source}/conf/systemd/${kind}.conf" "${prefix}/lib/${kind}.d"
		smtp-gated.conf)
endforeach()
place("${source}/man/smtp-gated.8" "${prefix}/@CMAKE_INSTALL_MANDIR@/man8" smtp-gated.8 gz)
place("${source}/man/smtp-gated-helper.8" "${prefix}/@CMAKE_INSTALL_MANDIR@/man8"
	smtp-gated-helper.8 gz)
place("${source}/man/smtp-gated.conf.5" "${prefix}/@CMAKE_INSTALL_MANDIR@/man5"
	smtp-gated.conf.5 gz)
