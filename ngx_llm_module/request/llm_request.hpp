// One request on its way through the gateway: what several stages need to know of it. Made by the
// content handler, owned by the request's pool, found again as its module context.
//
// The stages are the rows of kStages (stages.cpp), in order: read the body, understand it, admit
// it, route it, attempt it. Each says continue, wait or done; whoever waited goes on through
// run_stages().
#pragma once

#include <optional>
#include <string>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/conf/records.hpp"
#include "ngx_llm_module/request/body.hpp"
#include "ngx_llm_module/request/content_log.hpp"
#include "ngx_llm_module/request/endpoints.hpp"
#include "ngx_llm_module/request/ledger.hpp"
#include "ngx_llm_module/request/limits.hpp"
#include "ngx_llm_module/route/plan.hpp"
#include "ngx_llm_module/stream/answer.hpp"
#include "ngx_llm_module/stream/downstream.hpp"
#include "ngx_llm_module/upstream/attempt.hpp"
#include "ngx_llm_module/upstream/outgoing.hpp"

namespace llm {

class Hedge;

// What stands in x-llm-request-id.
std::string new_request_id();

class LlmRequest {
  public:
    explicit LlmRequest(ngx_http_request_t *request);
    ~LlmRequest();
    LlmRequest(const LlmRequest &) = delete;
    LlmRequest &operator=(const LlmRequest &) = delete;

    ngx_http_request_t *const r;
    const size_t earlier_states;  // of $upstream_addr and its kin, by the location that led here
    const Config &config;
    const ngx_http_llm_loc_conf_t &loc;

    // --- authenticated ---
    Identity identity;

    // --- understood ---
    ClientEndpoint endpoint;
    const Dialect *client = nullptr;          // the dialect that the caller speaks
    const Provider *only_provider = nullptr;  // llm_pass PROVIDER
    const Provider *keeper = nullptr;         // of the answer that is asked for or gone on from
    std::string_view model_field;             // of a form, where it stands in the body
    bool names_others = false;                // models that its provider may turn to
    std::string kept_id;                      // its own name for that
    bool is_raw = false;                      // forwarded unread, below llm_pass PROVIDER
    std::string_view raw_path;                // what follows the location's prefix
    bool is_raw_path_escaped = false;         // as the client wrote it
    RequestBody body;
    Envelope envelope;
    std::string model;              // as asked for, plain
    std::string target_model;       // what is routed: the key's own names of models are resolved
    Arena arena;                    // of everything below that is parsed or rewritten
    std::optional<ir::Request> ir;  // parsed when the first translation needs it

    // --- routed and attempted ---
    std::vector<Candidate> candidates;
    size_t next_candidate = 0;  // the one behind the current
    Plan plan;
    std::unique_ptr<Hedge> hedge;  // where the model may have a second attempt
    std::unique_ptr<Attempt> attempt;
    ngx_msec_t deadline = 0;  // of the whole call, on the clock of ngx_current_msec
    ngx_event_t call_timer;
    Notes notes;  // of the attempt that is rendered last
    Limits limits;

    // --- answered ---
    Answer answer;
    Downstream downstream;
    Ledger ledger;
    std::unique_ptr<ContentLog> content_log;  // where llm_log_content stands
    std::string id;                           // x-llm-request-id
    bool has_replied = false;                 // a whole reply went out: filters leave it alone
    bool is_settled = false;
    bool is_shut_down = false;  // the worker ends: no time for an error_page
    // Of the list in shutdown.cpp.
    LlmRequest *next = nullptr;
    LlmRequest *previous = nullptr;

    size_t next_stage = 0;
    bool wants_new_connection = false;  // an idle one was dead
    bool is_without_reasoning = false;  // the provider could not read that of earlier turns

    const Candidate &candidate() const { return candidates[next_candidate - 1]; }
    Timeouts timeouts() const;  // of the current candidate
    bool drop_params() const;
    ngx_uint_t recover_mode() const;  // llm_recover
    bool is_stream() const { return envelope.stream; }
    bool is_kept() const { return !is_raw && endpoint.operation == Operation::kept; }
    bool is_other() const { return !is_raw && endpoint.operation == Operation::other; }
    bool is_count() const { return endpoint.operation == Operation::count_tokens; }
    // How the current candidate's provider is spoken to.
    const Speech &speech() const { return candidate().deployment->provider->speech_for(*client); }
    const Dialect &provider_dialect() const { return *speech().dialect; }
};

// The context of a request, or nothing (rejected before the content phase).
LlmRequest *find_llm_request(ngx_http_request_t *r);
// Also one that an error_page has led away from: for variables.
LlmRequest *find_latest_request(ngx_http_request_t *r);

// --- stages.cpp ---
void run_stages(LlmRequest &request);
// From here on a timer ends the call at its deadline.
void keep_deadline(LlmRequest &request);
// As far as nobody is asked and nothing is counted. False: the request was answered.
bool run_until_routed(LlmRequest &request);
// The store of the limits has answered.
void resume_admission(LlmRequest &request, Admission admission);

// --- next_attempt.cpp ---
void start_attempt(LlmRequest &request);
// The store of the limits has answered: the candidate has room, or not.
void resume_attempt(LlmRequest &request, Admission admission);
// Asks the present candidate, which has room.
void send_attempt(LlmRequest &request);
// Credentials are there, or cannot be had: the request is built and sent. `within`: as the attempt
// of this hedge.
void continue_attempt(LlmRequest &request, Hedge *within);
// The same candidate at once, asked in another way.
void repeat_attempt(LlmRequest &request);
// The same candidate again, not counted: its idle connection was dead.
void retry_on_new_connection(LlmRequest &request);
// The current attempt has no answer: another one, or the error to the client.
void try_next(LlmRequest &request, const ApiError &error, Failure failure);

// --- hedge.cpp ---
// The present attempt has content: if there is another one, it has lost.
void win_race(LlmRequest &request);

// --- attempt_health.cpp ---
// The present deployment sent its first content, or all of its answer.
void note_served(LlmRequest &request, bool is_complete);
// It failed after content had been sent.
void note_broken(LlmRequest &request, Failure failure);

// Milliseconds since nginx saw the request's first bytes.
ngx_msec_t request_age(const ngx_http_request_t *r);

// --- settle.cpp ---
// Releases and records, once, however the request ended. Safe to call again.
void settle(LlmRequest &request);
// Settles and gives the request back to nginx. The request is gone afterwards.
void finish_request(LlmRequest &request, ngx_int_t rc);

}  // namespace llm
