// multipart/form-data: where the value of one field stands in a body that is otherwise not looked
// at. Nothing is copied.
#pragma once

#include <optional>
#include <string_view>

namespace llm::wire {

// The boundary that a content-type names; empty: it is no multipart/form-data, or names none.
std::string_view form_boundary(std::string_view content_type);

// The value of the first part of that name, a view into `body`. Nothing: there is no such part, or
// it is empty, or the form is cut or
// malformed before it.
std::optional<std::string_view> find_form_field(std::string_view body, std::string_view boundary,
                                                std::string_view name);

// How many parts have a name that somebody may take for this one: in capitals, as a list (model[]),
// or told in another notation.
size_t count_form_fields(std::string_view body, std::string_view boundary, std::string_view name);

}  // namespace llm::wire
