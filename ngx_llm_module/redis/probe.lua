-- placeholder
-- x

return 1
