/** The same reply from Express. */
import express from 'express'

export default express().get('/hello', (_req, res) => res.type('text').send('Hello, World!\n'))
