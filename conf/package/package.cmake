# What is installed, and the packages: "cmake --install" and "cpack".
#
#	-DSYSTEMD_UNIT_DIR=lib/systemd/system	where units go, below the prefix
#	-DPACKAGE_MAINTAINER="Name <address>"	who answers for the packages
#
# What names no place is installed from here.  Files that name places (units, pages,
# configuration) are written for the usual ones, /usr and /etc; install.cmake puts those
# down, and rewrites them for another prefix.

include(GNUInstallDirs)

set(PACKAGE_MAINTAINER "smtp-gated maintainers <maintainers@smtp-gated.invalid>"
	CACHE STRING "Maintainer of the packages, name and address")

# systemd names the place below its own prefix: we take the part behind that.
pkg_get_variable(unit_dir systemd systemdsystemunitdir)
string(REGEX REPLACE "^/(usr/)?" "" unit_dir "${unit_dir}")
if(NOT unit_dir)
	set(unit_dir lib/systemd/system)
endif()
set(SYSTEMD_UNIT_DIR ${unit_dir} CACHE STRING "Directory of systemd units, below the prefix")

# The sample: all options as they are by default, commented out, and what a first use needs.
set(sample ${CMAKE_CURRENT_BINARY_DIR}/smtp-gated.conf)
add_custom_command(OUTPUT ${sample}
	COMMAND sh ${PROJECT_SOURCE_DIR}/conf/package/sample.sh $<TARGET_FILE:smtp-gated>
		${sample}
	DEPENDS smtp-gated ${PROJECT_SOURCE_DIR}/conf/package/sample.sh VERBATIM)
add_custom_target(sample ALL DEPENDS ${sample})

file(GLOB samples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/conf/*.conf
	${PROJECT_SOURCE_DIR}/conf/action.sh ${PROJECT_SOURCE_DIR}/conf/nftables/*.nft)

install(TARGETS smtp-gated smtp-gated-helper RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(FILES README.md LICENSE conf/package/debian/copyright
	DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${samples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES conf/completion/smtp-gated
	DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
configure_file(conf/package/install.cmake install-places.cmake @ONLY)
install(SCRIPT ${CMAKE_CURRENT_BINARY_DIR}/install-places.cmake)

# ---- packages -------------------------------------------------------------------------

# Both by default, as far as their tools are here.
find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
find_program(RPMBUILD rpmbuild)
mark_as_advanced(DPKG_SHLIBDEPS RPMBUILD)
set(CPACK_GENERATOR)
if(DPKG_SHLIBDEPS)
	list(APPEND CPACK_GENERATOR DEB)
endif()
if(RPMBUILD)
	list(APPEND CPACK_GENERATOR RPM)
endif()

set(CPACK_PACKAGE_NAME smtp-gated)
set(CPACK_PACKAGE_CONTACT ${PACKAGE_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "transparent SMTP gateway that stops viruses in passing mail")
set(CPACK_PACKAGE_DESCRIPTION
"Netfilter hands it SMTP connections; it finds out which server each client
wanted, connects there, relays the session, and scans every message with
libclamav inside the process. The end of a message is held until the
verdict: of an infected one the server never sees the end, and the client
gets a refusal with the name of what was found.

Nothing is queued, nothing is acknowledged that the server did not
acknowledge, and neither clients nor servers have to be configured.")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
	GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_BINARY_DIR}/cpack-project.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_BINARY_DIR}/cpack-stage.cmake)
set(CPACK_POST_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/conf/package/finish.cmake)
configure_file(conf/package/cpack.cmake cpack-project.cmake @ONLY)
configure_file(conf/package/stage.cmake cpack-stage.cmake @ONLY)

# Maintainer scripts.  What both kinds of package do is written once, in the *.sh beside.
file(READ conf/package/setup.sh SETUP)
file(READ conf/package/handover.sh HAND_OVER)
file(READ conf/package/litter.sh LITTER)
set(scripts ${CMAKE_CURRENT_BINARY_DIR}/package)
foreach(name debian/postinst debian/prerm debian/postrm rpm/pre rpm/post rpm/preun rpm/postun)
	configure_file(conf/package/${name} ${scripts}/${name} @ONLY
		FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
		GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endforeach()
configure_file(conf/package/debian/conffiles ${scripts}/debian/conffiles COPYONLY
	FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS conf/package/setup.sh
	conf/package/handover.sh conf/package/litter.sh)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION mail)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "clamav-freshclam, nftables")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "apparmor, redis-server | valkey-server, systemd")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${scripts}/debian/postinst
	${scripts}/debian/prerm ${scripts}/debian/postrm ${scripts}/debian/conffiles)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_PACKAGE_DESCRIPTION "${CPACK_PACKAGE_DESCRIPTION}")
set(CPACK_PACKAGE_VENDOR "the smtp-gated project")
set(CPACK_RPM_PACKAGE_LICENSE "GPL-2.0-or-later with OpenSSL exception")
set(CPACK_RPM_PACKAGE_GROUP "System Environment/Daemons")
set(CPACK_PACKAGE_RELOCATABLE OFF)
set(CPACK_RPM_COMPRESSION_TYPE xz)
set(CPACK_RPM_PACKAGE_REQUIRES_PRE "shadow-utils")
foreach(name PRE_INSTALL=pre POST_INSTALL=post PRE_UNINSTALL=preun POST_UNINSTALL=postun)
	string(REPLACE = ";" name ${name})
	list(GET name 0 when)
	list(GET name 1 script)
	set(CPACK_RPM_${when}_SCRIPT_FILE ${scripts}/rpm/${script})
endforeach()
set(CPACK_RPM_USER_FILELIST
	"%config(noreplace) /etc/smtp-gated.conf"
	"%config(noreplace) /etc/apparmor.d/usr.sbin.smtp-gated"
	"%doc /usr/share/doc/smtp-gated/README.md"
	"%license /usr/share/doc/smtp-gated/LICENSE"
	"%license /usr/share/doc/smtp-gated/copyright")
# Directories of the distribution; ours, and only those, are %dir.
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION /etc /etc/apparmor.d
	/usr/lib/systemd /usr/lib/systemd/system /usr/lib/sysusers.d /usr/lib/tmpfiles.d
	/usr/sbin /usr/share/man /usr/share/man/man5 /usr/share/man/man8
	/usr/share/bash-completion /usr/share/bash-completion/completions)
# The same bytes wherever and whenever it is built; SOURCE_DATE_EPOCH is set by cpack.cmake.
set(CPACK_RPM_SPEC_MORE_DEFINE
"Recommends: clamav-freshclam
%define _buildhost reproducible
%define use_source_date_epoch_as_buildtime 1
%define clamp_mtime_to_source_date_epoch 1
%define _build_id_links none
%define __os_install_post %{nil}")

include(CPack)
