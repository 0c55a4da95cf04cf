// See credentials.hpp. A fetch is an ordinary exchange (NetAttempt) that no request owns: it goes
// on when the request that caused it leaves, because others will need the token too.
#include "ngx_llm_module/upstream/credentials.hpp"

#include <algorithm>

#include "ngx_llm_module/request/llm_request.hpp"
#include "translators/provider/google_token.hpp"

namespace llm {
namespace {

constexpr time_t kRefreshBefore = 300;  // of the end
constexpr time_t kKeepAway = 30;        // of the end a token is not used: requests take time
constexpr time_t kPause = 1;            // after a failure
constexpr size_t kMaxAnswer = 64 * 1024;
constexpr ngx_msec_t kTimeout = 10000;

}  // namespace

CredentialSource::CredentialSource(const Provider &provider, ngx_resolver_t *resolver)
    : provider_(provider), resolver_(resolver) {}

CredentialSource::~CredentialSource() = default;

bool CredentialSource::ready(CredentialWaiter &waiter) {
    time_t now = ngx_time();
    if (exchange_ == nullptr && now >= refresh_at_ && now >= not_before_) {
        fetch();
    }
    if (has_token() || exchange_ == nullptr) {
        return true;  // without a token: the caller sees that it is empty
    }
    waiters_.push_back(&waiter);
    return false;
}

void CredentialSource::forget(CredentialWaiter &waiter) {
    waiters_.erase(std::remove(waiters_.begin(), waiters_.end(), &waiter), waiters_.end());
}

void CredentialSource::fetch() {
    Result<std::string> body = token_request(*provider_.service_account, int64_t(ngx_time()));
    if (!body) {
        over("the service account's key cannot sign");
        return;
    }
    OutgoingRequest outgoing;
    const Endpoint &endpoint = *provider_.token_endpoint;
    outgoing.endpoint = &endpoint;
    outgoing.head.append("POST ").append(endpoint.path.empty() ? "/" : endpoint.path);
    outgoing.head.append(" HTTP/1.1\r\nhost: ").append(endpoint.host_header);
    outgoing.head.append("\r\ncontent-type: application/x-www-form-urlencoded\r\n");
    outgoing.head.append("accept: application/json\r\ncontent-length: ");
    outgoing.head.append(std::to_string(body->size())).append("\r\n\r\n");
    outgoing.made.append(*body);
    outgoing.body.push_back(outgoing.made.view());

    NetContext context;
    context.log = ngx_cycle->log;
    context.resolver = resolver_;
    context.timeouts = {kTimeout, kTimeout, kTimeout, kTimeout};
    context.may_reuse = may_reuse_;
    may_reuse_ = true;
    status_ = 0;
    answer_.clear();
    AnswerSink &sink = *this;
    exchange_ = std::make_unique<NetAttempt>(context, std::move(outgoing), sink);
    exchange_->start();
}

// Everybody who waits is told. None of them waits again: there is a token, or a pause.
void CredentialSource::over(const char *why) {
    exchange_.reset();
    if (why != nullptr) {
        not_before_ = ngx_time() + kPause;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: no access token for provider %s: %s",
                      provider_.name.c_str(), why);
    }
    while (!waiters_.empty()) {
        CredentialWaiter *waiter = waiters_.back();
        waiters_.pop_back();
        waiter->on_credential();
    }
}

bool CredentialSource::on_head(const wire::HttpHead &head) {
    status_ = head.status();
    return true;
}

bool CredentialSource::on_body(std::string_view bytes) {
    if (answer_.size() + bytes.size() > kMaxAnswer) {
        over("the answer is too large");
        return false;
    }
    answer_.append(bytes);
    return true;
}

void CredentialSource::on_end() {
    exchange_->finish();
    Result<json::Value> root = worker().parse_unpadded(answer_);
    Result<AccessToken> token =
        root ? parse_access_token(*root) : Result<AccessToken>(root.error());
    if (status_ != NGX_HTTP_OK || !token) {
        over(status_ != NGX_HTTP_OK ? "it was refused" : "the answer is not understood");
        return;
    }
    token_ = token->value;
    expires_ = ngx_time() + std::max<time_t>(time_t(token->lifetime) - kKeepAway, 1);
    refresh_at_ = ngx_time() + std::max<time_t>(time_t(token->lifetime) - kRefreshBefore, 1);
    over(nullptr);
}

void CredentialSource::on_broken(Broken why) {
    over(describe(why).data());
}

// An idle connection was dead: the same again on a new one.
void CredentialSource::on_stale() {
    exchange_.reset();
    may_reuse_ = false;
    fetch();
}

void CredentialWait::on_credential() {
    Turn turn(request_.r);
    continue_attempt(request_, hedge_);  // this object is gone
}

}  // namespace llm
