SwaggerUIBundle({
    url: '/api-docs/openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    // Nothing is fetched from elsewhere, and no key is kept in the browser.
    validatorUrl: null,
    persistAuthorization: false,
    docExpansion: 'none',
});
