// The dashboard: one page that the module carries with it. The page itself tells nothing and may be
// read by everyone; what it shows comes from the admin API, which wants the master key.
#include "ngx_llm_module/admin/admin.hpp"
#include "ngx_llm_module/observe/metrics_page.hpp"
#include "ngx_llm_module/request/headers.hpp"

namespace llm {
namespace {

#include "ngx_llm_module/admin/dashboard/files.inc"

constexpr std::string_view kName = "/dashboard";

// No script but its own file, nothing from elsewhere, in nobody's frame.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

AdminAnswer file(AdminCall &call, std::string_view type, std::string content) {
    ngx_http_request_t *r = call.request.r;
    add_header(r, "Content-Security-Policy", kPolicy);
    add_header(r, "X-Content-Type-Options", "nosniff");
    add_header(r, "Referrer-Policy", "no-referrer");
    AdminAnswer answer;
    answer.content_type = type;
    answer.body = ByteBuffer(std::move(content));
    return answer;
}

// Where the page's own files are, however the location is called.
std::string base_of(const ngx_http_request_t *r) {
    std::string_view uri = view(r->uri);
    std::string base;
    for (char c : uri.substr(0, uri.rfind(kName))) {
        switch (c) {
            case '"':
                base.append("%22");
                break;
            case '<':
                base.append("%3C");
                break;
            case '&':
                base.append("&amp;");
                break;
            default:
                base.push_back(c);
        }
    }
    return base.append(kName).append("/");
}

}  // namespace

AdminAnswer dashboard_page(AdminCall &call) {
    constexpr std::string_view kPlace = "{base}";
    size_t at = kPage.find(kPlace);
    std::string page(kPage.substr(0, at));
    page.append(base_of(call.request.r)).append(kPage.substr(at + kPlace.size()));
    return file(call, "text/html; charset=utf-8", std::move(page));
}

AdminAnswer dashboard_style(AdminCall &call) {
    return file(call, "text/css; charset=utf-8", std::string(kStyle));
}

AdminAnswer dashboard_script(AdminCall &call) {
    return file(call, "text/javascript; charset=utf-8", std::string(kScript));
}

// The same page as llm_metrics answers: every number of the dashboard is one of its.
AdminAnswer dashboard_metrics(AdminCall &call) {
    MetricsPage page;
    collect(call.config, page);
    AdminAnswer answer;
    answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
    answer.body = ByteBuffer(page.render());
    return answer;
}

}  // namespace llm
