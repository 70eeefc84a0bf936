# Run by cpack when a package is made: the members of a .deb got their rights from the umask
# of whoever built it, and nobody reads them there.  (A header of ar(5): name, time, owner,
# group, rights, size, and what no data end a line with.)
foreach(file IN LISTS CPACK_PACKAGE_FILES)
	if(file MATCHES "[.]deb$")
		execute_process(COMMAND "${CMAKE_COMMAND}" -E env LC_ALL=C sed -i -e
			"s/ 0     0     100[0-7][0-7][0-7]  \\([0-9]* *`\\)$/ 0     0     100644  \\1/"
			"${file}" COMMAND_ERROR_IS_FATAL ANY)
	endif()
endforeach()
