#ifndef SESSION_INTERNAL_H
#define SESSION_INTERNAL_H

#include "conn.h"
#include "log.h"
#include "mailbox.h"
#include "peers.h"
#include "pipeline.h"
#include "reaction.h"
#include "reply.h"
#include "route.h"
#include "route_loop.h"
#include "saslname.h"
#include "session.h"
#include "transaction.h"

#include <event2/event_struct.h>
#include <sys/queue.h>

/*
 * The inside of a session, for session*.c alone.
 *
 * Where the dialogue stands the server decides; we watch its replies.  What we know is
 * which reply belongs to which command (the pipeline) and which of these states we are in.
 */
enum session_state {
	SESSION_PROXY,		/* a proxy has called; its PROXY header is awaited */
	SESSION_ROUTING,	/* finding where the client meant to go */
	SESSION_SCREENING,	/* asking whether the client may go there */
	SESSION_CONNECTING,	/* calling there */
	SESSION_INTRODUCING,	/* telling the server who the client is */
	SESSION_NAMING,		/* waiting for its name, to tell that as well */
	SESSION_RELAYING,	/* commands and replies pass */
	SESSION_BODY,		/* message content passes */
	SESSION_JUDGING,	/* it is complete, its dot is held */
	SESSION_OFFERING,	/* a message that was held: the server is asked to take it */
	SESSION_REPLAYING,	/* and gets it */
	SESSION_DELIVERING,	/* released; the server has not replied yet */
	SESSION_DIRECT,		/* bytes pass unread, as after STARTTLS */
	SESSION_TAKEOVER,	/* the server is gone; we answer the client */
	SESSION_CLOSING,	/* last words are being sent */
	SESSION_DEAD,		/* closed; freed when the loop turns */
};

/*
 * How a session ends: word of the log (end=), our last reply (code, enhanced status code
 * of RFC 3463, option with the text), and what smtp-gated(8) says about it.
 */
#define SESSION_ENDS(E) \
	E(NONE, "none", 0, NULL, msg_sign_off, "not yet") \
	E(CLIENT_QUIT, "client-quit", 0, NULL, msg_sign_off, "the client said QUIT") \
	E(CLIENT_CLOSED, "client-closed", 0, NULL, msg_sign_off, \
	  "the client closed without QUIT") \
	E(CLIENT_LOST, "client-lost", 0, NULL, msg_sign_off, \
	  "the client's connection broke") \
	E(CLIENT_TIMEOUT, "client-timeout", 421, "4.4.2", msg_session_timeout, \
	  "the client was silent for too long") \
	E(CLIENT_SLOW, "client-slow", 421, "4.4.2", msg_session_timeout, \
	  "the client sent a command or a message too slowly") \
	E(SERVER_CLOSED, "server-closed", 0, NULL, msg_sign_off, \
	  "the server closed after its last word") \
	E(SERVER_LOST, "server-lost", 421, "4.4.2", msg_transaction_failed, \
	  "the server's connection broke") \
	E(SERVER_TIMEOUT, "server-timeout", 421, "4.4.2", msg_connect_timeout, \
	  "the server was silent for too long") \
	E(CONNECT_FAILED, "connect-failed", 421, "4.4.1", msg_connect_failed, \
	  "the server could not be reached") \
	E(CONNECT_TIMEOUT, "connect-timeout", 421, "4.4.1", msg_connect_timeout, \
	  "the server did not answer the call") \
	E(XCLIENT, "xclient-refused", 421, "4.3.5", msg_fixed_xclient_fail, \
	  "the server did not let us say who the client is") \
	E(TURNED_AWAY, "turned-away", 0, NULL, msg_sign_off, \
	  "the server would not serve the client") \
	E(PROTOCOL, "protocol", 421, "4.5.0", msg_proto_error, \
	  "the server said what its protocol does not know") \
	E(CLIENT_PROTOCOL, "client-protocol", 0, NULL, msg_client_error, \
	  "the client sent what we cannot follow") \
	E(INJECTION, "injection", 421, "4.7.0", msg_client_error, \
	  "bytes stood behind STARTTLS") \
	E(PROXY_HEADER, "proxy-header", 0, NULL, msg_sign_off, \
	  "the PROXY header was wrong, or did not come") \
	E(NOT_REDIRECTED, "not-redirected", 554, "5.7.1", msg_lookup_notfound, \
	  "the client came straight to us") \
	E(LOOP, "loop", 554, "5.4.6", msg_loop_avoidance, \
	  "the destination is this gateway") \
	E(NO_ROUTE, "no-route", 421, "4.3.0", msg_lookup_failed, \
	  "the destination could not be found out") \
	E(FINDING, "finding", 0, NULL, msg_sign_off, \
	  "a check found something; see the line found") \
	E(TOO_MANY_WAITING, "too-many-waiting", 421, "4.4.5", msg_max_reached, \
	  "too many sessions wait for the first word of that server") \
	E(LOOKUP_TIMEOUT, "lookup-timeout", 421, "4.4.3", msg_lookup_timeout, \
	  "who knows the destination did not answer in time") \
	E(LOOKUP_MISMATCH, "lookup-mismatch", 421, "4.4.3", msg_lookup_mismatch, \
	  "who knows the destination answered what cannot be followed") \
	E(SPOOL, "spool", 421, "4.3.1", msg_spool_problem, \
	  "there was no room for the message in time") \
	E(TAKEOVER_QUIT, "takeover-quit", 221, "2.0.0", msg_sign_off, \
	  "QUIT after a takeover") \
	E(TAKEOVER_COMMANDS, "takeover-commands", 554, "5.5.0", msg_virus_no_more, \
	  "too many commands after a takeover") \
	E(SHUTDOWN, "shutdown", 421, "4.3.2", msg_shutdown, "the daemon was stopped")

enum session_end {
#define E(id, word, code, enhanced, text, meaning) END_##id,
	SESSION_ENDS(E)
#undef E
};

struct session {
	struct sessions *all;
	const struct session_world *world;	/* all's */
	struct config *cfg;		/* of its listener, then of its policy; held */
	struct conn *client;		/* NULL only when DEAD */
	struct conn *server;		/* NULL before CONNECTING, after a takeover */
	struct route *route;		/* ROUTING: the question under way, if any */
	struct route_call call;		/* what others can tell of that */
	struct transaction *mail;	/* NULL between mails */
	struct introduction *intro;	/* NULL unless the mode is fixed+xclient */
	struct screening *screening;	/* NULL unless checks are asked before something goes on */
	struct pipeline owed;		/* replies, in order */
	struct command_reader commands;
	struct reply_reader replies;
	struct event timer;
	int64_t timer_at;		/* when it fires; 0: it is not set */
	int64_t deadline;		/* when the state's time is up; ms, monotonic */
	int64_t due;			/* when some work has to be done, whatever moves
					 * meanwhile; 0: none */
	int64_t noop_at;		/* when the server of a held message should hear from
					 * us; 0: never */
	uint64_t window_from;		/* BODY: received when the window began */
	int64_t window_until;		/* and when it ends; 0: there is none */
	int64_t born;			/* ms, monotonic */
	size_t holds;			/* bytes that wait in all its buffers */
	uint64_t chunk_left;		/* of a refused BDAT, to be thrown away */
	uint64_t server_received;	/* bytes, from a server that was dropped */
	struct addr peer;		/* the far end of CLIENT: itself, or a proxy */
	struct addr client_addr, server_addr;
	struct addr outgoing_addr;	/* our end of the server's connection */
	struct addr meant;		/* the destination in a proxy's header, if any */
	const char *header;		/* kind of the PROXY header that was read, or NULL */
	struct peer *of_host;		/* the sessions of its client; NULL: not known yet */
	struct peer *of_ident;		/* and of its ident; NULL: it has none */
	unsigned hops;			/* of the client's connection; 0: not known */
	char ident[ROUTE_IDENT_SIZE];	/* of the client, as a helper says; or empty */
	const char *spf;		/* word of its result for the last MAIL; NULL: not asked */
	char *helo;			/* argument of the last HELO, EHLO, LHLO, owned; NULL: none */
	struct saslname auth;		/* the AUTH under way, if any */
	char *user;			/* who has authenticated, owned; NULL: nobody, or not known */
	uint64_t found;			/* a bit for each kind of finding that was logged */
	struct log_ctx log;
	enum session_state state;
	enum session_state phase;	/* in which it ended */
	enum session_end end;
	unsigned mails, delivered;
	unsigned takeover_commands;
	unsigned check_failures;	/* checks of commands that could not decide */
	int last_code;			/* of the server */
	bool server_lost;		/* broken; what it sent may still be read */
	bool enhanced;			/* the server offered ENHANCEDSTATUSCODES */
	bool opaque;			/* the next line answers an AUTH challenge */
	bool auth_offered;		/* by the server, at any time */
	bool pipelining;		/* so did it PIPELINING */
	bool chunking, binarymime;	/* offered to the client, too */
	bool extended;			/* the server accepted EHLO or LHLO, and not HELO since */
	bool lmtp;			/* the client said LHLO, and the server accepted it */
	bool trusted;			/* by the server: it would take XCLIENT from us */
	bool authenticated;
	bool direct_begun;		/* DIRECT: the server may speak */
	bool refusal_logged, fault_logged;
	bool hello_doubted;		/* the server may speak the other protocol: logged */
	unsigned rejections_logged;	/* of senders and recipients */
	bool paused;			/* commands are left for want of room */
	TAILQ_ENTRY(session) link;
};

/* Goes to another state; the only place that does.  The state's time begins anew. */
void session_enter(struct session *s, enum session_state next);

/* The session is over: says the ending's reply, if any, to a client that can hear it,
 * closes the server (but after QUIT, where the server closes first), and goes CLOSING.
 * S lives on until the caller's event callback has returned. */
void session_end(struct session *s, enum session_end why);

/* Closes at once.  S lives on, DEAD, until the loop turns. */
void session_close(struct session *s, enum session_end why);

/*
 * session_gate.c: who is let in, and the counts of those who were.
 */
struct session_gate;

enum away {			/* why a client may not even begin */
	AWAY_CONNECTIONS,
	AWAY_HOST,		/* far too many of one client */
	AWAY_DESCRIPTORS,
	AWAY_REASONS,
};

struct session_gate *session_gate_new(void);
void session_gate_free(struct session_gate *gate);	/* NULL is fine */

/* CFG: the main part's, of which the options of the process and all listeners count. */
void session_gate_set(struct session_gate *gate, struct config *cfg);

/* CFG is that of the listener, SESSIONS how many there are.  False: CLIENT was told to
 * come again, and FD is closed. */
bool session_gate_admits(struct session_gate *gate, const struct config *cfg, int fd,
			 const struct addr *client, unsigned sessions) MUST_CHECK;
void session_gate_turn_away(struct session_gate *gate, const struct config *cfg, int fd,
			    const struct addr *client, enum away why);

void session_gate_count_host(struct session_gate *gate, struct session *s);
void session_gate_count_ident(struct session_gate *gate, struct session *s);
void session_gate_discount(struct session_gate *gate, struct session *s);

/* session.c: the listener as the log has it: NULL for that of the main part. */
const char *session_listener(const struct config *cfg);

/* session.c: takes a closed session from the living; the loop frees it. */
void session_bury(struct session *s);

/* The log's word for an ending. */
const char *session_end_word(enum session_end end);

/* The log's word for a state. */
const char *session_state_word(enum session_state state);

/* Milliseconds, monotonic, coarse. */
int64_t session_now(void);

/* A session is born: its deadlines begin. */
void session_begin_time(struct session *s);

/* Some work has to be done within so many seconds, silence or not; in this state only. */
void session_set_due(struct session *s, int64_t seconds);

/* The server of a held message is to get a NOOP in so many seconds. */
void session_set_noop(struct session *s, int64_t seconds);

/* Something has moved: the silence that a state's limit may be of begins anew. */
void session_stir(struct session *s);

/* Does all that can be done now, then sends and sees to back-pressure.  Every callback
 * from the loop that is not a conn's ends with it. */
void session_turn(struct session *s);

/* Closes the connection to the server, at once. */
void session_drop_server(struct session *s);

/* The mail is over, however it ended: without one is fine. */
void session_forget_mail(struct session *s);

/* True when the server will send no more than what is in its input. */
bool session_server_gone(const struct session *s);

/* Most bytes that wait for a peer before the other is made to wait: as memory is now. */
size_t session_backlog_max(const struct session *s);

/* What waits for the server, or to be sent to it. */
size_t session_server_backlog(const struct session *s);

/* True while no peer has more waiting for it than that. */
bool session_has_room(const struct session *s);

/* Says something of our own to the client, now: nothing is owed before it.  ENHANCED only
 * goes out if the server offered it. */
void session_say(struct session *s, int code, const char *enhanced, const char *text);

/* session_proxy.c: true if who has called is a proxy that must name its client. */
bool session_awaits_header(const struct session *s);
void session_turn_proxy(struct session *s);
void session_proxy_expired(struct session *s);

/* session_proxy.c: the address of the proxy as log field "via"; none: nothing is logged. */
struct log_field session_via(const struct session *s, char text[static ADDR_TEXT_SIZE]);

/* session_proxy.c: puts our own PROXY header in front of all else that the server gets, if
 * that is wanted. */
void session_send_header(struct session *s);

/* session_proxy.c: where the client meant to go: as its proxy says, or as we have found
 * out, or to us. */
struct addr session_dialled(const struct session *s);

/* session_route.c: turns the client away before it is connected with anybody; TEXT, unless
 * NULL or empty, is for the log. */
void session_refuse(struct session *s, enum session_end why, const char *text);

/* session_route.c: finds out where the client meant to go, and calls there. */
void session_route(struct session *s);
void session_turn_routing(struct session *s);
void session_routing_expired(struct session *s);
void session_forget_route(struct session *s);

/* session.c: the client, or the ident, has become known: counts this session as one of
 * those that it has. */
void session_count_host(struct session *s);
void session_count_ident(struct session *s);

/* session.c: the destination is known; calls there. */
void session_connect(struct session *s);

/* session_source.c: from where; what to say when that fails; and whether servers hear us
 * at all when we call as our clients do. */
struct conn_source session_source(const struct session *s);
const char *session_source_fault(const struct session *s, int error);
void session_source_heard(const struct session *s);
void session_source_unheard(const struct session *s);

/* session_screen.c: asks the checks whether the client may go to its server, and calls
 * there or turns it away. */
void session_screen_client(struct session *s);
void session_screening_expired(struct session *s);

/* session_screen.c: asks whether the greeting may be passed on.  False: the session has
 * ended. */
bool session_screen_greeting(struct session *s) MUST_CHECK;

/* session_screen.c: asks whether a command may go on.  False: it was answered, or it waits
 * for a check and session_pass_command() will be called. */
bool session_screen_command(struct session *s, const struct command *command) MUST_CHECK;

/* session_screen.c: what checks may know of it now. */
struct evidence session_evidence(const struct session *s);

/* session_screen.c: forgets what it waits for; nothing is fine. */
void session_screening_end(struct session *s);

/* session_screen.c: tells the checks that count; PATH is that of MAIL or RCPT, or NULL. */
void session_note(struct session *s, enum happening what, const char *path);

/* MAIL or RCPT with PATH was refused, by its server or by us; WORDS of the server, NULL:
 * by us.  For options log_mail_from and log_rcpt_to. */
void session_log_rejected(struct session *s, enum verb verb, const char *path, int code,
			  const char *words);

/* session_command.c: a command goes on, to the server or wherever its verb leads. */
void session_pass_command(struct session *s, const struct command *command);

/* session_command.c: queues the reply of a verdict behind those owed; with VERDICT_HANG_UP
 * the session ends when it is sent. */
void session_answer_finding(struct session *s, const struct verdict *verdict);

/* session_react.c: what a finding leads to beside the reply. */
void session_react(struct session *s, const struct evidence *evidence,
		   const struct verdict *verdict);

/* session_command.c: queues a reply of our own; the session ends when it is sent. */
void session_answer_last(struct session *s, enum session_end why, int code,
			 const char *enhanced, const char *text);

/* session_command.c: takes commands of the client, as far as replies owed allow. */
void session_take_commands(struct session *s);

/* session_command.c: a command that clients must not send. */
void session_refuse_command(struct session *s, const struct command *command);

/* session_command.c: queues a reply of our own behind those owed. */
void session_answer(struct session *s, int code, const char *enhanced, const char *text);

/* session_reply.c: takes replies of the server. */
void session_take_replies(struct session *s);

/* session_reply.c: the client hears this 421 of the server's, and the session ends. */
void session_server_leaves(struct session *s, const struct reply *reply);

/* session_reply.c: sends the answers of our own that are due. */
void session_answer_due(struct session *s);

/* session_reply.c: a server's words as field "reply"; none: nothing is logged. */
struct log_field session_reply_field(const struct session *s, const char *words);

/*
 * session_content.c: the last words on a message.  An LMTP client gets one for each
 * recipient.
 */

/* True if it answers content once for each recipient. */
bool session_server_is_lmtp(const struct session *s);

/* How many replies the server owes to the content of this mail; 0: it cannot have any. */
unsigned session_content_replies(const struct session *s);

/* The last words that the client still waits for are ours, or all the same; but of a long
 * reply all lines are passed on once only. */
void session_say_last(struct session *s, int code, const char *enhanced, const char *text);
void session_forward_last(struct session *s, const struct reply *reply);

/* The end of the message goes out: LAST, pushed for it, is the first reply to content. */
void session_content_sent(struct session *s, struct expected *last);

/* A reply to content; takes it from the input. */
void session_content_reply(struct session *s, const struct reply *reply);

/* The server has refused it before it had all of it, in the words of the verdict: logs
 * that. */
void session_content_refused(struct session *s);

/* The server does not even want the content: logs that, and the mail is over. */
void session_content_declined(struct session *s, int code, const char *words);

/* The mail ends before all replies are here: logs and counts those that are; else nothing. */
void session_content_cut(struct session *s);

/*
 * A way to deliver: what differs between a message that the server gets while it comes,
 * its end held back until it is judged, and one that it hears of when it is judged.  From
 * the server's 354 on, the second is one of the first kind that comes from its spool.
 */
struct delivery {
	bool holds;		/* the server has nothing of it yet */
	bool keeps_server;	/* which lives on when it is not delivered */

	/* Takes what the server says meanwhile, or that it is gone: may doom the mail. */
	void (*hear)(struct session *s);

	/* What has come, and is at rest if it is kept, goes on: to the server or nowhere.
	 * False: the session is in another state, no more is to be taken. */
	bool (*pass)(struct session *s);

	/* The verdict: the server gets what it still lacks. */
	void (*release)(struct session *s);

	/* The client was told that it will not be delivered: the mail is over. */
	void (*give_up)(struct session *s);
};

/* session_stream.c, session_chunk.c, session_hold.c */
extern const struct delivery session_stream, session_chunk, session_hold;

/* session_body.c: content comes, is judged, and goes the WAY. */
void session_body_begin(struct session *s, const struct delivery *way);

/* session_body.c: more of it, after something else. */
void session_body_resume(struct session *s);

/* session_body.c: the next chunk of it. */
void session_body_next_chunk(struct session *s);

/* session_body.c: true if messages of this client are put at rest. */
bool session_body_is_kept(const struct session *s);

/* session_judge.c: all of it is here, or it is doomed and the client listens. */
void session_body_complete(struct session *s);

/* session_body.c: the message will not be delivered, whatever comes: the server hears no
 * more of it, the rest is thrown away, and the client is told when it has sent its dot and
 * listens.  WHY is one of DOOM_*; or REPLY is. */
void session_doom(struct session *s, int why);
void session_doom_by_reply(struct session *s, const struct reply *reply);

/* session_hold.c: a command of ours, or DATA of the client's, is asked when all that is
 * owed before it has been answered; and it is now. */
void session_ask_later(struct session *s, enum reply_subject subject, enum verb verb);
void session_hold_due(struct session *s, enum reply_subject subject, enum verb verb);

/* session_hold.c: the reply to a command of ours; takes it from the input. */
void session_hold_reply(struct session *s, const struct expected *due,
			const struct reply *reply);

/* session_hold.c: takes what the server says to NOOPs and pieces, while only these are
 * owed; or that it is gone. */
void session_hear_words(struct session *s);

/* session_hold.c: the mail is over for the client, and so it must be for the server. */
void session_reset_mail(struct session *s);

/* session_hold.c: the message is held, if that is to be. */
bool session_holds(const struct session *s);
void session_hold_begin(struct session *s);

/*
 * session_protocol.c: for the log alone.
 */

/* The client's COMMAND is wrong; WHAT is.  Once in a session. */
void session_log_fault(struct session *s, const char *what, const struct command *command);

/* What the server says next, or in the reply that is being read, cannot be followed. */
void session_log_nonsense(struct session *s, const char *what);

/* The reply that is to be read next has CODE, and is to VERB; if that is a HELO of a kind
 * that the server does not know, server_protocol may be wrong.  Once in a session. */
void session_note_refused_hello(struct session *s, enum verb verb, int code);

/* session_chunk.c: BDAT.  True: it was refused, and its chunk will be thrown away, or the
 * session has ended.  Any other command is not refused here. */
bool session_chunk_refused(struct session *s, const struct command *command);
void session_chunk_command(struct session *s, const struct command *command);
void session_chunk_due(struct session *s, const struct chunk *chunk);

/* session_chunk.c: true between the chunks of a message; and a command there that must not
 * be, answered. */
bool session_between_chunks(const struct session *s);
bool session_chunk_intruded(struct session *s, const struct command *command);

/* session_chunk.c: log field "chunks", if there are any. */
struct log_field session_chunks_field(const struct session *s);

/* session_chunk.c: a refused chunk comes, which is thrown away. */
void session_chunk_throw(struct session *s, const struct command *command);

/* session_chunk.c: so much of it should have come by now. */
void session_chunk_window_over(struct session *s);

/* session_chunk.c: a chunk has ended that is not the last. */
void session_chunk_over(struct session *s);

/* session_chunk.c: the reply to a part of a message; takes it from the input. */
void session_chunk_reply(struct session *s, const struct reply *reply);

/* session_hold.c: it is time for a NOOP, if a message is held. */
void session_hold_noop(struct session *s);
void session_turn_offering(struct session *s);
void session_turn_replaying(struct session *s);

void session_turn_body(struct session *s);
void session_turn_judging(struct session *s);
void session_judging_expired(struct session *s);
void session_body_expired(struct session *s);
void session_body_window_over(struct session *s);

/* session_takeover.c: the server is dropped, we answer from now on. */
void session_takeover(struct session *s);
void session_turn_takeover(struct session *s);

/* session_xclient.c: the server is told who the client is; relaying begins with that. */
void session_introduction_begin(struct session *s);
void session_introduction_end(struct session *s);	/* without one is fine */
void session_turn_introducing(struct session *s);
void session_naming_expired(struct session *s);

/* session_xclient.c: a reply that the client never asked for; takes it from the input. */
void session_introduction_reply(struct session *s, const struct expected *due,
				const struct reply *reply);

/* session_xclient.c: the server accepted HELO, EHLO or LHLO. */
void session_note_hello(struct session *s, enum verb verb, const char *name);

/* session_xclient.c: true if the server must be told something before this MAIL; it will
 * come again. */
bool session_xforward_first(struct session *s, const struct command *mail);

/* session_xclient.c: true if STARTTLS is hidden and refused: by the configuration, or
 * because a client that nobody reads could send XCLIENT itself, or needs us to be understood
 * by its server. */
bool session_hides_starttls(const struct session *s);

/* session_command.c: true if we speak LMTP to the server and SMTP to the client. */
bool session_translates(const struct session *s);

/* session_direct.c: bytes pass unread: the server has accepted STARTTLS, or the client has
 * authenticated and auth_skip says so (else nothing happens). */
void session_direct_starttls(struct session *s);
void session_direct_auth(struct session *s);
void session_turn_direct(struct session *s);

#endif
