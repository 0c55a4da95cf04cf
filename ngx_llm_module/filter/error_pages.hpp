// nginx's own error pages (413, 429 of limit_req, 403 of deny, 502 ...) as errors of the caller's
// dialect, wherever llm_pass stands.
#pragma once

namespace llm {

void install_error_pages();

}  // namespace llm
